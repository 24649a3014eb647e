/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define D        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum kind { CONFIG, MANIFEST, INDEX, ARCHIVE };

static int parse(enum kind kind, struct arena *a, const char *text, struct err *e)
{
	union {
		struct image_config config;
		struct image_manifest manifest;
		struct image_index index;
		struct image_archive archive;
	} ret;
	const size_t len = strlen(text);

	switch (kind) {
	case CONFIG: return image_config_parse(a, text, len, &ret.config, e);
	case MANIFEST: return image_manifest_parse(a, text, len, &ret.manifest, e);
	case INDEX: return image_index_parse(a, text, len, &ret.index, e);
	default: return image_archive_parse(a, text, len, &ret.archive, e);
	}
}

static void test_image_parsers_say_what_is_wrong(void **state)
{
	static const struct {
		enum kind kind;
		const char *text, *want;
	} c[] = {
		/* want NULL: accepted */
		{ CONFIG, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]},\"unknown\":[1]}",
		  NULL },
		{ CONFIG, "{\"rootfs\":{\"type\":\"layers\"}}", NULL },
		{ CONFIG, "{\"rootfs\":{\"diff_ids\":null},\"created\":\"0001-01-01T00:00:00Z\"}", NULL },
		{ CONFIG, "{}", "rootfs" },
		{ CONFIG, "{\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}", "rootfs.diff_ids[0]" },
		{ CONFIG, "{\"rootfs\":{\"diff_ids\":[3]}}", "rootfs.diff_ids[0]" },
		{ CONFIG, "{\"rootfs\":{\"diff_ids\":\"x\"}}", "rootfs.diff_ids" },
		{ CONFIG, "{\"rootfs\":{},\"history\":[{\"created_by\":5}]}", "history[0].created_by" },
		{ CONFIG, "", "line 1" },
		{ CONFIG, "[]", "rootfs" },
		{ MANIFEST,
		  "{\"config\":{\"digest\":\"" D "\",\"size\":3},\"layers\":[{\"digest\":\"" D "\"}]}",
		  NULL },
		{ MANIFEST, "{\"config\":{\"digest\":\"" D "\"},\"layers\":[],\"manifests\":[]}",
		  "neither a manifest nor an index" },
		{ MANIFEST, "{\"layers\":[]}", "config" },
		{ MANIFEST, "{\"config\":{\"digest\":\"" D "\",\"size\":-1}}", "config.size" },
		{ MANIFEST, "{\"config\":{\"digest\":\"md5:12\"}}", "config.digest" },
		{ INDEX,
		  "{\"manifests\":[{\"digest\":\"" D
		  "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
		  NULL },
		{ INDEX, "{\"manifests\":[{}]}", "manifests[0].digest" },
		{ INDEX, "{\"manifests\":[],\"config\":{}}", "neither a manifest nor an index" },
		{ ARCHIVE, "[{\"Config\":\"x.json\",\"RepoTags\":null,\"Layers\":[\"a/layer.tar\"]}]", NULL },
		{ ARCHIVE, "[]", NULL },
		{ ARCHIVE, "{}", "got an object" },
		{ ARCHIVE, "[{\"Layers\":[]}]", "Config" },
		{ ARCHIVE, "[{\"Config\":\"x\",\"Layers\":[null]}]", "Layers[0]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct err e = { 0 };
		int r = parse(c[i].kind, &a, c[i].text, &e);

		if ((r == 0) != !c[i].want || (r < 0 && !strstr(e.text, c[i].want)))
			print_error("%s\n\tgot  %d '%s'\n\twant '%s'\n", c[i].text, r, e.text,
				    c[i].want ? c[i].want : "accepted");
		assert_int_equal(r == 0, !c[i].want);
		if (c[i].want)
			assert_non_null(strstr(e.text, c[i].want));
	}
}

static void test_image_manifest_is_read_back_as_written(void **state)
{
	struct image_desc layers[] = { { .media_type = IMAGE_MEDIA_LAYER, .digest = D, .size = 1ULL << 40 } };
	struct image_manifest m = { .config = { .media_type = IMAGE_MEDIA_CONFIG, .digest = D, .size = 7 },
				    .layers = layers,
				    .n_layers = 1 };
	struct image_index x = { .manifests = layers, .n_manifests = 1 }, x2;
	struct image_manifest got;
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf b = { 0 }, b2 = { 0 };
	struct err e = { 0 };

	(void)state;
	image_manifest_put(&b, &m);
	assert_int_equal(image_manifest_parse(&a, b.data, b.len, &got, &e), 0);
	assert_int_equal(got.n_layers, 1);
	assert_string_equal(got.layers[0].digest, D);
	assert_int_equal(got.layers[0].size, 1ULL << 40);
	assert_string_equal(got.config.media_type, IMAGE_MEDIA_CONFIG);
	layers[0].image_name = "docker.io/library/a:b";
	image_index_put(&b2, &x);
	assert_int_equal(image_index_parse(&a, b2.data, b2.len, &x2, &e), 0);
	assert_string_equal(x2.manifests[0].image_name, "docker.io/library/a:b");
}

static void test_image_config_keeps_all_but_the_layers(void **state)
{
	static const char text[] = "{\"z\":1,\"config\":{\"Env\":[\"A=b\"]},\"rootfs\":{\"type\":\"layers\","
				   "\"diff_ids\":[\"x\"]},\"b\":{}}";
	char *ids[] = { D };
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(image_config_with_layers(text, sizeof(text) - 1, ids, 1, &b, &e), 0);
	assert_non_null(strstr(buf_str(&b), D));
	assert_non_null(strstr(buf_str(&b), "\"A=b\""));
	assert_true(strstr(buf_str(&b), "\"z\"") < strstr(buf_str(&b), "\"config\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image_parsers_say_what_is_wrong),
		cmocka_unit_test(test_image_manifest_is_read_back_as_written),
		cmocka_unit_test(test_image_config_keeps_all_but_the_layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
