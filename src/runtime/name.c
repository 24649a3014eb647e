/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/name.h"

#include <ctype.h>
#include <stdint.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

static const char *const adjective[] = {
	"able",  "airy",    "ample",  "brisk",  "bright", "broad",  "calm",    "candid", "clear",  "clever",
	"cosy",  "crisp",   "daring", "deft",   "eager",  "early",  "earnest", "fair",   "fleet",  "fond",
	"frank", "fresh",   "gentle", "glad",   "grand",  "hale",   "handy",   "hardy",  "jolly",  "keen",
	"kind",  "light",   "lively", "loyal",  "lucid",  "mellow", "merry",   "mild",   "neat",   "nimble",
	"noble", "patient", "placid", "plucky", "prompt", "quick",  "quiet",   "ready",  "robust", "rosy",
	"sage",  "serene",  "sharp",  "silent", "smart",  "snug",   "sober",   "solid",  "spry",   "steady",
	"still", "stout",   "sunny",  "swift",  "tidy",   "true",   "vivid",   "warm",   "wise",   "witty",
};

static const char *const surname[] = {
	"abel",      "agnesi",  "ampere",  "babbage",  "backus",     "bell",    "bernoulli",    "bohr",
	"boole",     "borg",    "cantor",  "cauchy",   "church",     "curie",   "darwin",       "dijkstra",
	"dirac",     "euler",   "faraday", "fermat",   "fermi",      "fourier", "franklin",     "galois",
	"gauss",     "germain", "goedel",  "hamilton", "hamming",    "hardy",   "hilbert",      "hoare",
	"hopper",    "huygens", "jacobi",  "johnson",  "kepler",     "knuth",   "kovalevskaya", "lagrange",
	"lamarr",    "laplace", "leibniz", "liskov",   "lovelace",   "markov",  "maxwell",      "meitner",
	"mendel",    "newton",  "noether", "pascal",   "pauling",    "perlman", "planck",       "poincare",
	"ramanujan", "riemann", "ritchie", "shannon",  "sutherland", "tesla",   "thompson",     "turing",
	"vaughan",   "volta",   "wiles",   "wilson",   "wing",       "yalow",
};

int name_check(const char *name, struct err *e)
{
	size_t len = strlen(name);
	bool ok = len >= 2 && len <= NAME_MAX_BYTES && isalnum((unsigned char)name[0]);

	for (size_t i = 0; i < len && ok; i++)
		ok = isalnum((unsigned char)name[i]) || strchr("_.-", name[i]);
	return ok ? 0 :
		    err_set(e, EINVAL,
			    "invalid name '%.64s': want letters, digits, '_', '.', '-', at least two", name);
}

static void random_bytes(void *dst, size_t len)
{
	BUG_ON(getrandom(dst, len, 0) != (ssize_t)len); /* short only beyond 256 bytes */
}

void name_random(char *dst, size_t size, int attempt)
{
	uint32_t n[2];

	random_bytes(n, sizeof(n));
	str_format(dst, size, attempt < 5 ? "%s_%s" : "%s_%s%d", adjective[n[0] % ARRAY_SIZE(adjective)],
		   surname[n[1] % ARRAY_SIZE(surname)], attempt);
}

void name_id(char dst[65])
{
	unsigned char raw[32];

	do {
		random_bytes(raw, sizeof(raw));
		str_hex(dst, raw, sizeof(raw));
	} while (strspn(dst, "0123456789") >= 12);
}
