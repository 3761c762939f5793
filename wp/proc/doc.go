// Package proc runs programs: as a tenant, within limits, and never leaving one behind. It is
// the only package that starts processes.
//
// # Who is who
//
// Every run has a supervisor, which is this same binary started again:
//
//	worker ── control socket ── supervisor (worker's user, own session, subreaper)
//	                                └── program (tenant, own process group) ── whatever it starts
//
// The supervisor forks the child with the tenant's uid and gid, no supplementary groups,
// no-new-privs and no capabilities. The child, still this binary but already the tenant,
// checks that, enters the working folder, sets the limits and execs the program. So root
// follows no path of the tenant, not even to the program or its working folder. Go sets
// these attributes per thread; the supervisor does it on the one thread that forks, and the
// child has them from its first instruction, in all its threads.
//
// # How a run ends
//
// When the program has ended, or the run is stopped, or the worker is gone (the control
// socket closes, also on kill -9), the supervisor kills every descendant and leaves when it
// has no child. A process that detaches (double fork, setsid) becomes the supervisor's own
// child, because that is a subreaper; so "no child" means "nothing left". Before killing it
// stops what it finds until nothing new appears, which a fork bomb cannot outrun within its
// process limit; it does so at the highest priority it may have, to get its turn among busy
// processes. As the supervisor keeps root's uid, the tenant cannot signal it.
//
// Two cases remain. If the supervisor itself is killed (by root or for memory), the program
// dies at once by its parent-death signal, and the worker or, later, Record.KillGroup kills
// the rest of the session; only a process that has left the session can stay. And work that
// a tenant hands to a service (cron, at) was never part of the run.
//
// A PID namespace would kill as surely, but needs CAP_SYS_ADMIN, makes every program pid 1 or
// 2 (so that temporary names made from pids collide) and makes pid 1 deaf to SIGTERM. Control
// groups do it as well, where a writable cgroup v2 is delegated (Groups), which is not everywhere.
//
// # Without root
//
// A worker that is not root runs everything as itself. No-new-privs, limits, environment,
// process groups and supervision are the same; there is no wall between tenants, and a
// program may kill its own supervisor.
//
// # Use
//
// A binary that runs children calls Main first thing in main or TestMain. It must be
// executable by tenants (mode o+x): it is what the child is before it is the program.
package proc
