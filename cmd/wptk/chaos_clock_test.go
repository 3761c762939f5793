package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// clockChild prints the time and the monotonic one for each line that it reads.
const clockChild = "WPTK_TEST_CLOCK_CHILD"

func tellTime() {
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().Unix(), int(time.Since(began).Seconds()))
	}
}

func TestClockOfAProcessIsSetAndNobodyElses(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clockChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	ask := func() (off time.Duration, since int) {
		var unix int64
		fmt.Fprintln(in)
		if _, err := fmt.Fscan(out, &unix, &since); err != nil {
			t.Fatal(err)
		}
		return time.Until(time.Unix(unix, 0)), since
	}
	ask() // it is up
	clock, err := ownClock(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []time.Duration{0, time.Hour, -time.Hour, 400 * 24 * time.Hour, 0} {
		if err := clock.set(want); err != nil {
			t.Fatal(err)
		}
		if off, since := ask(); (off-want).Abs() > time.Minute || since > 60 {
			t.Errorf("set to %v it is %v off, and %d s old", want, off, since)
		}
	}
}
