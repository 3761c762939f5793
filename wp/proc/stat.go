package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// stat is the part of /proc/PID/stat (proc_pid_stat(5)) that process trees need.
type stat struct {
	pid, ppid, session int
	state              byte
	threads            int
	ticks              uint64 // field 22: start time in clock ticks after boot
}

// dead reports a process that only waits to be reaped. A zombie with threads is not: its
// first thread has ended and the others run on.
func (s stat) dead() bool { return (s.state == 'Z' && s.threads <= 1) || s.state == 'X' }

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, fmt.Errorf("reading process state: %w", err)
	}
	return parseStat(b)
}

// parseStat counts fields from the last parenthesis: the name before it is chosen by the
// process and may hold spaces, parentheses and line feeds.
func parseStat(b []byte) (stat, error) {
	bad := func() (stat, error) { return stat{}, fmt.Errorf("parsing process state %q", b) }
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return bad()
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return bad()
	}
	s := stat{state: fields[0][0]}
	var errs [5]error
	s.pid, errs[0] = strconv.Atoi(string(bytes.TrimSpace(b[:open])))
	s.ppid, errs[1] = strconv.Atoi(string(fields[1]))
	s.session, errs[2] = strconv.Atoi(string(fields[3]))
	s.threads, errs[4] = strconv.Atoi(string(fields[17]))
	s.ticks, errs[3] = strconv.ParseUint(string(fields[19]), 10, 64)
	for _, err := range errs {
		if err != nil {
			return bad()
		}
	}
	return s, nil
}

// processes calls visit for every process that can be seen and has not been reaped. Those
// that vanish during the walk are left out.
func processes(visit func(stat)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("opening process table: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading process table: %w", err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // not a process
		}
		if s, err := readStat(pid); err == nil {
			visit(s)
		}
	}
	return nil
}
