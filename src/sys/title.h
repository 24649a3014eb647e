/* SPDX-License-Identifier: Apache-2.0 */
/*
 * title.h - what others read of this process in /proc/PID/cmdline
 *
 * A process that goes on as something else after fork, without an exec, keeps the command line and the environment it was
 * called with: misleading in a list of processes, and readable by whoever may look, also inside a container that shares it.
 */
#ifndef SYS_TITLE_H
#define SYS_TITLE_H

/* title_init() - remember where the arguments are. @argv: main()'s own. Context: before the environment is changed. */
void title_init(char **argv);

/* title_set() - the command line is @text from now on, the environment is empty; without title_init() only the latter. */
void title_set(const char *text);

#endif
