#!/bin/sh
# dpkg says remove, rpm how many versions are left: an upgrade is no removal.
set -e
case ${1:-} in remove | 0) ;; *) exit 0 ;; esac
if [ -d /run/systemd/system ]; then systemctl disable --now @UNIT@.service; fi
