#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the example image runs: a greeting, and what the workload sees of the machine.
echo "$GREETING"
echo "  process   $$ (the first one in here), user $(id -u), in $(pwd)"
echo "  host      $(hostname), $(uname -sr)"
echo "  root      $(echo /*)"
