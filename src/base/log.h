/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line for each thing worth telling
 *
 * Only cmd/, api/, cluster/ and top loops log at info and above; lower floors return errors and may debug.
 * error: what was asked for did not happen; warn: went on, degraded; info: life cycle; debug: decisions.
 * Text: "hull: warning: what failed: 'object': reason, consequence"; JSON: the same fields for machines.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };
enum log_format { LOG_TEXT, LOG_JSON };

/* log_setup() - where lines go and which; @fd is borrowed. The default: stderr, text, LOG_INFO. */
void log_setup(int fd, enum log_format format, enum log_level most);
enum log_level log_most(void);

void log_at(enum log_level level, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_at(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_at(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_at(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_at(LOG_DEBUG, area, __VA_ARGS__)

#endif
