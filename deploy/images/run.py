"""Says what docker-compose.yml asks of a service as arguments of `podman run`, each ended by a NUL.

    run.py COMPOSE SERVICE PREFIX SECRETS PACKAGES

The last one is the service's command, quoted for the shell. Names of volumes get PREFIX, secrets
are the files of SECRETS, PACKAGES stands for the package source. A key that is not known here is an
error, so that nothing the file asks for is left out unseen.
"""

import os
import re
import shlex
import sys

import yaml

compose, name, prefix, secrets, packages = sys.argv[1:]
whole = yaml.safe_load(open(compose, encoding="utf-8"))
service = whole["services"][name]
out = ["--ulimit", "nofile=16384:16384", "--ulimit", "nproc=4096:4096"]
command = []


def filled(text):
    """A value with its ${NAME:-default} filled in."""
    default = lambda m: packages if m[1] == "WPTK_PACKAGE_SOURCE" else os.environ.get(m[1], m[2])
    return re.sub(r"\$\{(\w+):-([^}]*)\}", default, str(text))


for key, value in service.items():
    if key == "security_opt":
        out += [a for v in value for a in ("--security-opt", v.replace(":true", ""))]
    elif key in ("cap_drop", "cap_add"):
        out += [a for v in value for a in ("--" + key.replace("_", "-"), v)]
    elif key == "environment":
        out += [a for k, v in value.items() for a in ("--env", f"{k}={filled(v)}")]
    elif key == "read_only":
        out.append(f"--read-only={str(value).lower()}")
    elif key == "user":
        out += ["--user", value]
    elif key == "command":
        command = value
    elif key == "secrets":
        out += [a for v in value for a in ("--volume", f"{secrets}/{v}:/run/secrets/{v}:ro")]
    elif key == "volumes":
        for v in map(filled, value):
            source = v.split(":")[0]
            out += ["--volume", v if source.startswith("/") else f"{prefix}-{v}"]
    elif key == "tmpfs":
        out += [a for v in value for a in ("--tmpfs", v)]
    elif key == "healthcheck":
        test = value["test"]
        out += ["--health-cmd", shlex.join(test[1:]), "--health-interval", "disable"]
    elif key == "deploy":
        limits = value["resources"]["limits"]
        out += ["--memory", limits["memory"].lower()] + (["--pids-limit", str(limits["pids"])] if "pids" in limits else [])
    elif key not in ("build", "ports", "depends_on", "restart", "logging", "stop_grace_period"):
        sys.exit(f"run.py does not know {name}.{key}")
sys.stdout.write("".join(a + "\0" for a in out) + shlex.join(command) + "\0")
