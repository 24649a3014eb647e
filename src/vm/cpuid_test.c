/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "engine/engine.h"
#include "vm/boot.h"

#define BIT(n) (1U << (n))

struct shown {
	struct x86_cpuid t[ENGINE_CPUID_MAX];
	unsigned n;
	struct err e;
};

/* A recent Intel server, with all that must not be seen; a smaller AMD one. */
static const struct x86_cpuid intel[] = {
	{ 0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69, 0 },
	{ 1, 0, 0x000806f8, 0x07100800, 0xffffffff, 0xffffffff, 0 },
	{ 4, 0, 0x7c004121, 0x02c0003f, 0x3f, 0, 1 },
	{ 4, 1, 0x7c004122, 0x01c0003f, 0x3f, 0, 1 },
	{ 4, 2, 0x7c004143, 0x03c0003f, 0x7ff, 0, 1 },
	{ 4, 3, 0x7c1fc163, 0x02c0003f, 0xdfff, 4, 1 },
	{ 4, 4, 0, 0, 0, 0, 1 },
	{ 5, 0, 0x40, 0x40, 3, 0, 0 },
	{ 6, 0, 0xdfcff7, 2, 0x409, 0, 0 },
	{ 7, 0, 2, 0xf3bfffff, 0xfb417ffe, 0xffdd4432, 1 },
	{ 7, 1, 0x601c30, 0, 0, 0x100, 1 },
	{ 7, 2, 0, 0, 0, 0x3f, 1 },
	{ 0xa, 0, 0x08300805, 0, 0xf, 0x8604, 0 },
	{ 0xb, 0, 1, 2, 0x100, 9, 1 },
	{ 0xd, 0, 0x602e7, 0x2b00, 0x2b00, 0, 1 },
	{ 0xd, 1, 0x1f, 0x2b00, 0x9900, 0, 1 },
	{ 0xd, 2, 0x100, 0x240, 0, 0, 1 },
	{ 0xd, 5, 0x40, 0x440, 0, 0, 1 },
	{ 0xd, 6, 0x200, 0x480, 0, 0, 1 },
	{ 0xd, 7, 0x400, 0x680, 0, 0, 1 },
	{ 0xd, 9, 8, 0xa80, 0, 0, 1 },
	{ 0xd, 17, 0x40, 0xac0, 2, 0, 1 },
	{ 0xd, 18, 0x2000, 0xb00, 6, 0, 1 },
	{ 0x14, 0, 1, 0xf, 7, 0, 1 },
	{ 0x1d, 0, 1, 0, 0, 0, 1 },
	{ 0x1f, 0, 1, 2, 0x100, 9, 1 },
	{ 0x40000010, 0, 2400001, 0, 0, 0, 0 },
	{ 0x80000000, 0, 0x80000008, 0, 0, 0, 0 },
	{ 0x80000001, 0, 0, 0, 0x121, 0x2c100800, 0 },
	{ 0x80000007, 0, 0, 0, 0, 0x100, 0 },
	{ 0x80000008, 0, 0x3934, 0x200, 0, 0, 0 },
};
static const struct x86_cpuid amd[] = {
	{ 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65, 0 },
	{ 1, 0, 0x00a00f11, 0x00020800, 0xfffa3203, 0x178bfbff, 0 },
	{ 7, 0, 0, 0x219c97a9, 0x400684, 0x20000010, 1 },
	{ 0xd, 0, 7, 0x340, 0x340, 0, 1 },
	{ 0xd, 1, 0xf, 0x340, 0, 0, 1 },
	{ 0xd, 2, 0x100, 0x240, 0, 0, 1 },
	{ 0x80000000, 0, 0x80000021, 0x68747541, 0x444d4163, 0x69746e65, 0 },
	{ 0x80000001, 0, 0x00a00f11, 0x40000000, 0x75c237ff, 0x2fd3fbff, 0 },
	{ 0x80000008, 0, 0x3030, 0x1000d205, 0x7001, 0, 0 },
	{ 0x8000000a, 0, 1, 0x8000, 0, 0, 0 },
	{ 0x8000001d, 0, 0x4121, 0x1c0003f, 0x3f, 0, 1 },
	{ 0x8000001d, 3, 0x3c163, 0x3c0003f, 0x7fff, 1, 1 },
	{ 0x8000001e, 0, 0, 0x100, 0, 0, 0 },
	{ 0x8000001f, 0, 0x1, 0, 0, 0, 0 },
};

static int show(struct shown *s, const struct x86_cpuid *host, unsigned n, const char *model, unsigned cpu,
		unsigned cpus)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->t, host, n * sizeof(*host));
	s->n = n;
	return cpuid_table(s->t, &s->n, model, cpu, cpus, 1, &s->e);
}

#define SHOW(s, host, model, cpu, cpus)                                                                      \
	do {                                                                                                 \
		if (show(s, host, ARRAY_SIZE(host), model, cpu, cpus) < 0)                                   \
			fail_msg("cpuid_table: %s", (s)->e.text);                                            \
	} while (0)

static const struct x86_cpuid *leaf(const struct shown *s, uint32_t nr, uint32_t subleaf)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->t[i].leaf == nr && (!s->t[i].indexed || s->t[i].subleaf == subleaf))
			return &s->t[i];
	return NULL;
}

static void test_a_guest_never_sees_what_its_state_has_no_room_for(void **state)
{
	struct shown s;

	(void)state;
	SHOW(&s, intel, NULL, 0, 1);
	assert_int_equal(leaf(&s, 1, 0)->ecx & 0x0804cdfc, 0);
	assert_true(leaf(&s, 1, 0)->ecx >> 31);
	assert_int_equal(leaf(&s, 7, 0)->ecx & (BIT(3) | BIT(16)), 0);
	assert_int_equal(leaf(&s, 7, 0)->edx & (BIT(22) | BIT(24) | BIT(25)), 0);
	assert_int_equal(leaf(&s, 0xd, 0)->eax, 0xe7);
	assert_int_equal(leaf(&s, 0xd, 0)->ecx, 0x680 + 0x400);
	assert_true(leaf(&s, 0xd, 0)->ecx <= X86_XSAVE_MAX);
	assert_null(leaf(&s, 0xd, 18));
	assert_int_equal(leaf(&s, 0xd, 1)->ecx, 0);
	assert_null(leaf(&s, 0xa, 0));
	assert_null(leaf(&s, 0x14, 0));
	assert_null(leaf(&s, 0x1d, 0));
	assert_int_equal(leaf(&s, 6, 0)->eax, BIT(2));
	assert_int_equal(leaf(&s, 0x80000008, 0)->eax >> 8 & 0xff, 48);
	SHOW(&s, amd, "host", 0, 1);
	assert_int_equal(leaf(&s, 0x80000001, 0)->ecx & BIT(2), 0);
	assert_null(leaf(&s, 0x8000000a, 0));
	assert_null(leaf(&s, 0x8000001f, 0));
}

static void test_each_processor_is_a_core_with_its_own_id(void **state)
{
	static const struct {
		unsigned cpus, bits;
	} t[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 32, 5 } };
	struct shown s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		unsigned cpus = t[i].cpus, ids = 1U << t[i].bits;

		for (unsigned cpu = 0; cpu < cpus; cpu++) {
			SHOW(&s, intel, NULL, cpu, cpus);
			assert_int_equal(leaf(&s, 1, 0)->ebx >> 24, cpu);
			assert_int_equal(leaf(&s, 1, 0)->ebx >> 16 & 0xff, cpus > 1 ? ids : 0);
			assert_int_equal(leaf(&s, 0xb, 0)->edx, cpu);
			assert_int_equal(leaf(&s, 0xb, 1)->eax, t[i].bits);
			assert_int_equal(leaf(&s, 0xb, 1)->ebx, cpus);
			assert_int_equal(leaf(&s, 0x1f, 1)->edx, cpu);
			assert_int_equal(leaf(&s, 0x1f, 2)->ebx, 0);
			assert_int_equal(leaf(&s, 4, 0)->eax, 0x121 | (ids - 1) << 26);
			assert_int_equal(leaf(&s, 4, 3)->eax >> 14 & 0xfff, ids - 1);
			SHOW(&s, amd, NULL, cpu, cpus);
			assert_int_equal(leaf(&s, 0x8000001e, 0)->eax, cpu);
			assert_int_equal(leaf(&s, 0x80000008, 0)->ecx, t[i].bits << 12 | (cpus - 1));
			assert_int_equal(leaf(&s, 0xb, 0)->edx, cpu);
			assert_true(leaf(&s, 0, 0)->eax >= 0xb);
		}
	}
}

static void test_the_tsc_frequency_is_told_to_the_khz(void **state)
{
	struct shown s;

	(void)state;
	SHOW(&s, intel, NULL, 0, 1);
	assert_null(leaf(&s, 0x40000010, 0));
	assert_int_equal((uint64_t)leaf(&s, 0x15, 0)->ecx * leaf(&s, 0x15, 0)->ebx / leaf(&s, 0x15, 0)->eax,
			 2400001000);
	assert_int_equal(leaf(&s, 0x16, 0)->eax, 2400);
	SHOW(&s, amd, NULL, 0, 1); /* nobody knows it */
	assert_null(leaf(&s, 0x15, 0));
}

static void test_a_level_is_the_same_on_every_host_that_has_it(void **state)
{
	static const char *const models[] = { "x86-64-v2", "x86-64-v3" };
	const uint32_t mirrored = 0x0183f3ff;
	struct shown a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		SHOW(&a, intel, models[i], 0, 1);
		SHOW(&b, amd, models[i], 0, 1);
		assert_int_equal(leaf(&a, 1, 0)->ecx, leaf(&b, 1, 0)->ecx);
		assert_int_equal(leaf(&a, 1, 0)->edx, leaf(&b, 1, 0)->edx);
		assert_int_equal(leaf(&a, 7, 0)->ebx, leaf(&b, 7, 0)->ebx);
		assert_int_equal(leaf(&a, 7, 0)->ecx, 0);
		assert_int_equal(leaf(&a, 0xd, 0)->eax, leaf(&b, 0xd, 0)->eax);
		assert_int_equal(leaf(&a, 0xd, 0)->ecx, leaf(&b, 0xd, 0)->ecx);
		assert_int_equal(leaf(&a, 0x80000001, 0)->edx & ~mirrored,
				 leaf(&b, 0x80000001, 0)->edx & ~mirrored);
	}
	assert_true(leaf(&a, 7, 0)->ebx & BIT(5)); /* AVX2 */
	SHOW(&a, intel, "x86-64-v4", 0, 1);
	assert_int_equal(leaf(&a, 0xd, 0)->eax, 0xe7);
}

static void test_a_model_that_cannot_be_is_refused_with_the_reason(void **state)
{
	struct shown s;

	(void)state;
	assert_int_equal(show(&s, amd, ARRAY_SIZE(amd), "x86-64-v4", 0, 1), -EOPNOTSUPP);
	assert_string_equal(s.e.text,
			    "cpu model 'x86-64-v4': this host lacks CPUID leaf 0x7 EBX bits 0xd0030000");
	assert_int_equal(show(&s, amd, ARRAY_SIZE(amd), "T2", 0, 1), -EOPNOTSUPP);
	assert_string_equal(s.e.text, "cpu model 'T2': for processors of Intel only");
	assert_int_equal(show(&s, intel, ARRAY_SIZE(intel), "T2A", 0, 1), -EOPNOTSUPP);
	assert_int_equal(show(&s, intel, ARRAY_SIZE(intel), "pentium", 0, 1), -ENOENT);
	assert_string_equal(s.e.text,
			    "cpu model 'pentium': want host, x86-64-v2, x86-64-v3, x86-64-v4, T2, T2S, "
			    "T2CL, T2A, C3");
	assert_int_equal(show(&s, intel, ARRAY_SIZE(intel), NULL, 2, 2), -EINVAL);
	assert_int_equal(show(&s, intel, ARRAY_SIZE(intel), NULL, 0, 33), -EINVAL);
	assert_int_equal(show(&s, intel, 0, NULL, 0, 1), -EINVAL);
}

static void test_templates_of_firecracker_make_a_haswell(void **state)
{
	static const char *const models[] = { "T2", "T2S", "T2CL" };
	struct x86_state *cpu = calloc(1, sizeof(*cpu));
	struct shown s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		SHOW(&s, intel, models[i], 0, 1);
		assert_int_equal(leaf(&s, 1, 0)->eax, 0x000306f2);
		assert_int_equal(leaf(&s, 0xd, 0)->eax, 7);
		assert_int_equal(leaf(&s, 0xd, 0)->ecx, 0x340);
		assert_int_equal(leaf(&s, 7, 0)->ebx & BIT(16), 0);
	}
	SHOW(&s, intel, "C3", 0, 1);
	assert_int_equal(leaf(&s, 1, 0)->eax, 0x000306e4);
	assert_int_equal(leaf(&s, 7, 0)->ebx & BIT(5), 0);
	SHOW(&s, amd, "T2A", 0, 1);
	assert_int_equal(leaf(&s, 0x80000008, 0)->ebx & 0xc0205, 0xc0000);
	cpu->n_msrs = 2;
	cpu->msr[0] = (struct x86_msr){ 0x10, 5 };
	cpu->msr[1] = (struct x86_msr){ 0x10a, 0xffff };
	cpuid_model_msrs("T2", cpu);
	assert_int_equal(cpu->msr[1].value, 0xffff);
	cpuid_model_msrs("T2CL", cpu);
	assert_int_equal(cpu->msr[1].value, 0xe1ff);
	cpuid_model_msrs("T2S", cpu);
	assert_int_equal(cpu->msr[1].value, 0xc4c);
	assert_int_equal(cpu->msr[0].value, 5);
	free(cpu);
}

static void test_a_full_table_is_refused_and_not_overrun(void **state)
{
	struct x86_cpuid *many = calloc(ENGINE_CPUID_MAX, sizeof(*many));
	struct shown s;

	(void)state;
	many[0] = intel[0];
	for (unsigned i = 1; i < ENGINE_CPUID_MAX; i++)
		many[i] = (struct x86_cpuid){ .leaf = 2, .subleaf = i, .indexed = 1 };
	assert_int_equal(show(&s, many, ENGINE_CPUID_MAX, NULL, 0, 1), -ENOSPC);
	free(many);
}

static void test_pairs_of_processors_are_cores_when_asked(void **state)
{
	const struct {
		const struct x86_cpuid *host;
		size_t n;
	} on[] = { { intel, ARRAY_SIZE(intel) }, { amd, ARRAY_SIZE(amd) } };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(on); k++) {
		struct shown s = { .n = (unsigned)on[k].n };

		memcpy(s.t, on[k].host, on[k].n * sizeof(*s.t));
		assert_int_equal(cpuid_table(s.t, &s.n, NULL, 5, 8, 2, &s.e), 0);
		assert_int_equal(leaf(&s, 0xb, 0)->eax, 1);
		assert_int_equal(leaf(&s, 0xb, 0)->ebx, 2);
		assert_int_equal(leaf(&s, 0xb, 1)->eax, 3);
		assert_int_equal(leaf(&s, 0xb, 1)->ebx, 8);
		assert_int_equal(leaf(&s, 0xb, 1)->edx, 5);
		if (on[k].host ==
		    intel) { /* the first cache is a core's, the last is everybody's; four cores */
			assert_int_equal(leaf(&s, 4, 0)->eax >> 14 & 0xfff, 1);
			assert_int_equal(leaf(&s, 4, 3)->eax >> 14 & 0xfff, 7);
			assert_int_equal(leaf(&s, 4, 0)->eax >> 26, 3);
		} else {
			assert_int_equal(leaf(&s, 0x8000001d, 0)->eax >> 14 & 0xfff, 1);
			assert_int_equal(leaf(&s, 0x8000001d, 3)->eax >> 14 & 0xfff, 7);
			assert_int_equal(leaf(&s, 0x8000001e, 0)->ebx, 1 << 8 | 2);
		}
		s.n = (unsigned)on[k].n;
		memcpy(s.t, on[k].host, on[k].n * sizeof(*s.t));
		assert_int_equal(cpuid_table(s.t, &s.n, NULL, 0, 3, 2, &s.e), -EINVAL);
		assert_int_equal(cpuid_table(s.t, &s.n, NULL, 0, 1, 2, &s.e), 0); /* one is alone */
		assert_int_equal(leaf(&s, 0xb, 0)->ebx, 1);
	}
}

static void test_every_engine_here_offers_what_can_be_shown(void **state)
{
	const struct engine_config c = { .n_cpus = 1 };
	const struct engine_ops *ops;
	struct engine_vm *vm = NULL;
	struct shown s = { .n = ENGINE_CPUID_MAX };

	(void)state;
	ops = engine_find(NULL, &s.e);
	if (!ops || engine_vm_new(ops, &vm, &c, &s.e) < 0) {
		print_message("# no engine: %s\n", s.e.text);
		skip();
	}
	assert_int_equal(engine_cpuid_host(vm, s.t, &s.n, &s.e), 0);
	if (cpuid_table(s.t, &s.n, NULL, 0, 2, 1, &s.e) < 0)
		fail_msg("%s", s.e.text);
	assert_true(leaf(&s, 1, 0)->ecx >> 21 & 1); /* x2APIC */
	engine_vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_guest_never_sees_what_its_state_has_no_room_for),
		cmocka_unit_test(test_each_processor_is_a_core_with_its_own_id),
		cmocka_unit_test(test_the_tsc_frequency_is_told_to_the_khz),
		cmocka_unit_test(test_a_level_is_the_same_on_every_host_that_has_it),
		cmocka_unit_test(test_a_model_that_cannot_be_is_refused_with_the_reason),
		cmocka_unit_test(test_templates_of_firecracker_make_a_haswell),
		cmocka_unit_test(test_a_full_table_is_refused_and_not_overrun),
		cmocka_unit_test(test_pairs_of_processors_are_cores_when_asked),
		cmocka_unit_test(test_every_engine_here_offers_what_can_be_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
