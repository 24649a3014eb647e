/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"

nsec_t time_now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (nsec_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* date_of() - the Gregorian date @days after 1970-01-01. gmtime_r(3) would read the time zone's file first. */
static void date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	enum {
		PER_400_YEARS = 146097,
		TO_1970 = 719468
	}; /* from 0000-03-01, so that a leap day ends a year */
	int64_t z = days + TO_1970, era = (z >= 0 ? z : z - (PER_400_YEARS - 1)) / PER_400_YEARS;
	int of_era = (int)(z - era * PER_400_YEARS);
	int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (PER_400_YEARS - 1)) / 365;
	int of_year = of_era - (365 * year + year / 4 - year / 100);
	int from_march = (5 * of_year + 2) / 153;

	*ret_day = of_year - (153 * from_march + 2) / 5 + 1;
	*ret_month = from_march < 10 ? from_march + 3 : from_march - 9;
	*ret_year = (int)(year + era * 400) + (*ret_month <= 2);
}

void time_utc(nsec_t since_epoch, struct tm *ret_tm)
{
	enum { PER_DAY = 24 * 60 * 60, THURSDAY = 4 /* 1970-01-01 */ };
	int64_t sec = since_epoch / NSEC_PER_SEC - (since_epoch % NSEC_PER_SEC < 0);
	int64_t days = (sec >= 0 ? sec : sec - (PER_DAY - 1)) / PER_DAY;
	int of_day = (int)(sec - days * PER_DAY), year, month, day;

	date_of(days, &year, &month, &day);
	*ret_tm = (struct tm){ .tm_year = year - 1900,
			       .tm_mon = month - 1,
			       .tm_mday = day,
			       .tm_hour = of_day / 3600,
			       .tm_min = of_day / 60 % 60,
			       .tm_sec = of_day % 60,
			       .tm_wday = (int)(((days + THURSDAY) % 7 + 7) % 7) };
}

const char *time_rfc3339(nsec_t since_epoch, char *dst)
{
	nsec_t ns = since_epoch % NSEC_PER_SEC;
	struct tm tm;

	time_utc(since_epoch, &tm);
	str_format(dst, TIME_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ", tm.tm_year + 1900,
		   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		   (long long)(ns < 0 ? ns + NSEC_PER_SEC : ns));
	return dst;
}

/* digits() - exactly @n digits at *@s, which moves past them. Return: the number or -1. */
static int digits(const char **s, int n)
{
	int value = 0;

	while (n-- > 0) {
		if (**s < '0' || **s > '9')
			return -1;
		value = value * 10 + (*(*s)++ - '0');
	}
	return value;
}

int time_parse_rfc3339(const char *s, nsec_t *ret_since_epoch)
{
	static const struct {
		char before;
		char len;
		short least, most;
	} field[6] = {
		{ 0, 4, 0, 9999 }, { '-', 2, 1, 12 }, { '-', 2, 1, 31 },
		{ 'T', 2, 0, 23 }, { ':', 2, 0, 59 }, { ':', 2, 0, 60 },
	};
	int v[6];
	nsec_t ns = 0, offset = 0, whole;
	struct tm tm = { 0 };

	for (int i = 0; i < 6; i++) {
		if (field[i].before && *s++ != field[i].before)
			return -EINVAL;
		v[i] = digits(&s, field[i].len);
		if (v[i] < field[i].least || v[i] > field[i].most)
			return -EINVAL;
	}
	if (*s == '.') {
		nsec_t unit = NSEC_PER_SEC / 10;

		if (s[1] < '0' || s[1] > '9')
			return -EINVAL;
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			ns += (*s - '0') * unit;
	}
	if (*s == '+' || *s == '-') {
		int sign = *s++ == '-' ? -1 : 1;
		int hours = digits(&s, 2);
		int minutes = *s == ':' ? (s++, digits(&s, 2)) : -1;

		if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
			return -EINVAL;
		offset = sign * (hours * 3600LL + minutes * 60LL);
	} else if (*s++ != 'Z') {
		return -EINVAL;
	}
	if (*s)
		return -EINVAL;
	tm.tm_year = v[0] - 1900;
	tm.tm_mon = v[1] - 1;
	tm.tm_mday = v[2];
	tm.tm_hour = v[3];
	tm.tm_min = v[4];
	tm.tm_sec = v[5];
	whole = timegm(&tm);
	if (tm.tm_mday != v[2] && v[5] < 60) /* 31 April became 1 May */
		return -EINVAL;
	if (__builtin_mul_overflow(whole - offset, NSEC_PER_SEC, &whole) ||
	    __builtin_add_overflow(whole, ns, ret_since_epoch))
		return -EINVAL; /* before 1677 or behind 2262 */
	return 0;
}

static nsec_t duration_unit(const char **s)
{
	static const struct {
		const char *name;
		nsec_t ns;
	} unit[] = {
		/* "ms" before "m" */
		{ "ns", 1 },
		{ "us", 1000 },
		{ "µs", 1000 },
		{ "ms", NSEC_PER_MSEC },
		{ "s", NSEC_PER_SEC },
		{ "m", 60 * NSEC_PER_SEC },
		{ "h", 3600 * NSEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(unit); i++) {
		const char *rest = str_after(*s, unit[i].name);

		if (rest) {
			*s = rest;
			return unit[i].ns;
		}
	}
	return 0;
}

int time_parse_duration(const char *s, nsec_t *ret_ns)
{
	nsec_t total = 0;

	if (str_eq(s, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (!*s)
		return -EINVAL;
	while (*s) {
		const char *start = s;
		int64_t whole = 0, fraction = 0, scale = 1;
		nsec_t unit, part;

		for (; *s >= '0' && *s <= '9'; s++)
			if (__builtin_mul_overflow(whole, 10, &whole) ||
			    __builtin_add_overflow(whole, *s - '0', &whole))
				return -ERANGE;
		if (*s == '.')
			for (s++; *s >= '0' && *s <= '9'; s++)
				if (scale < 1000000) {
					fraction = fraction * 10 + (*s - '0');
					scale *= 10;
				}
		if (s == start || (s == start + 1 && *start == '.'))
			return -EINVAL;
		unit = duration_unit(&s);
		if (!unit)
			return -EINVAL;
		if (__builtin_mul_overflow(whole, unit, &part) ||
		    __builtin_add_overflow(total, part, &total) ||
		    __builtin_add_overflow(total, (nsec_t)((__int128_t)fraction * unit / scale), &total))
			return -ERANGE;
	}
	*ret_ns = total;
	return 0;
}

const char *time_ago(nsec_t ns, char *dst, size_t size)
{
	static const struct {
		int64_t below_s;
		int64_t unit_s;
		const char *name;
	} step[] = {
		{ 60, 1, "second" },
		{ 3600, 60, "minute" },
		{ 48L * 3600, 3600, "hour" },
		{ 14L * 86400, 86400, "day" },
		{ 60L * 86400, 7L * 86400, "week" },
		{ 730L * 86400, 30L * 86400, "month" },
		{ INT64_MAX, 365L * 86400, "year" },
	};
	int64_t s = ns / NSEC_PER_SEC;

	if (s < 1) {
		str_copy(dst, size, "Less than a second");
		return dst;
	}
	for (size_t i = 0; i < ARRAY_SIZE(step); i++) {
		int64_t n = s / step[i].unit_s;

		if (s >= step[i].below_s)
			continue;
		if (n == 1 && i > 0)
			str_format(dst, size, i == 2 ? "About an %s" : "About a %s", step[i].name);
		else
			str_format(dst, size, "%lld %s%s", (long long)n, step[i].name, n == 1 ? "" : "s");
		break;
	}
	return dst;
}
