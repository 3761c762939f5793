#!/bin/sh
# Nothing is started: there are settings to make first. Nothing is restarted after an
# upgrade either: when a node drains is the operator's to say.
set -e
if [ -e /usr/lib/sysusers.d/@UNIT@.conf ]; then systemd-sysusers @UNIT@.conf; fi
systemd-tmpfiles --create @UNIT@.conf
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
