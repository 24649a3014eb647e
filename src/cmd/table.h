/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - the commands, each defined in the file of its name or kind; cmd_table.c lists them */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include "cmd/cmd.h"

extern const struct cmd cmd_attach, cmd_build, cmd_commit, cmd_container_prune, cmd_cp, cmd_create, cmd_diff,
	cmd_docs, cmd_events, cmd_exec, cmd_export, cmd_history, cmd_image_inspect, cmd_image_prune,
	cmd_images, cmd_import, cmd_info, cmd_inspect, cmd_kill, cmd_load, cmd_logs, cmd_pause, cmd_port,
	cmd_ps, cmd_rename, cmd_restart, cmd_rm, cmd_rmi, cmd_run, cmd_save, cmd_start, cmd_stats, cmd_stop,
	cmd_system_df, cmd_system_prune, cmd_tag, cmd_top, cmd_unpause, cmd_update, cmd_version,
	cmd_volume_create, cmd_volume_inspect, cmd_volume_ls, cmd_vm_run, cmd_volume_prune, cmd_volume_rm,
	cmd_wait;
extern const struct cmd cmd_engine_list, cmd_engine_stats, cmd_firecracker, cmd_jailer;
extern const struct cmd cmd_vm_console, cmd_vm_create, cmd_vm_inspect, cmd_vm_kill, cmd_vm_logs, cmd_vm_pause,
	cmd_vm_ps, cmd_vm_restore, cmd_vm_resume, cmd_vm_rm, cmd_vm_snapshot, cmd_vm_start, cmd_vm_stop,
	cmd_vm_wait;

extern const struct cmd cmd_disk_check, cmd_disk_commit, cmd_disk_compare, cmd_disk_convert, cmd_disk_create,
	cmd_disk_info, cmd_disk_io, cmd_disk_map, cmd_disk_rebase, cmd_disk_resize, cmd_disk_snapshot;

#endif
