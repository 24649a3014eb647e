/* SPDX-License-Identifier: Apache-2.0 */
/* time.h - nanoseconds, and the times people read */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>
#include <time.h>

typedef int64_t nsec_t;

#define NSEC_PER_SEC  1000000000LL
#define NSEC_PER_MSEC 1000000LL

enum { TIME_RFC3339_SIZE = 40 };

nsec_t time_now_ns(clockid_t clock);

/* time_utc() - date, time and day of the week; not the day of the year. Unlike gmtime_r(3) it reads no file. */
void time_utc(nsec_t since_epoch, struct tm *ret_tm);

/* time_rfc3339() - "2026-11-21T03:54:34.123456789Z", into @dst of TIME_RFC3339_SIZE bytes; returns @dst. */
const char *time_rfc3339(nsec_t since_epoch, char *dst);

/* time_parse_rfc3339() - with fraction and 'Z' or an offset. Return: 0 or -EINVAL. */
int time_parse_rfc3339(const char *s, nsec_t *ret_since_epoch);

/* time_parse_duration() - Go's form: "300ms", "1m30s", "2h", "1.5s". Return: 0, -EINVAL, -ERANGE. */
int time_parse_duration(const char *s, nsec_t *ret_ns);

/* time_ago() - how long as people say it: "Less than a second", "5 seconds", "About a minute", "3 weeks". */
const char *time_ago(nsec_t ns, char *dst, size_t size);

#endif
