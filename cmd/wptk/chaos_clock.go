package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// privateClock gives a running process a wall clock of its own, and can set it. Go programs read
// the time through the page of code that the kernel maps into every process, vdso(7); in that of
// one process the function is overwritten, as a debugger would. The program is the one that is
// shipped, whatever part of it reads the clock reads this one, and nobody else's is touched.
// The monotonic clock stays, as it does when a real one is set. Its children have the true time.
type privateClock struct {
	pid     int
	seconds uint64 // address of how far it is ahead
}

// ownClock takes over the clock of a process.
func ownClock(pid int, step time.Duration) (*privateClock, error) {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening memory of a process: %w", err)
	}
	defer mem.Close()
	begin, end, err := vdso(pid)
	if err != nil {
		return nil, err
	}
	image := make([]byte, end-begin)
	if _, err := mem.ReadAt(image, int64(begin)); err != nil {
		return nil, fmt.Errorf("reading vdso: %w", err)
	}
	entry, err := clockEntry(image)
	if err != nil {
		return nil, err
	}
	code, seconds := steppedClock(begin+entry, step)
	if code == nil {
		return nil, errors.New("setting the clock of a process: only written for amd64")
	}
	// At once, while hardly anybody is in it: who is in its middle would run into other code.
	if _, err := mem.WriteAt(code, int64(begin+entry)); err != nil {
		return nil, fmt.Errorf("writing vdso: %w", err)
	}
	return &privateClock{pid: pid, seconds: seconds}, nil
}

// set steps the clock to so far ahead of the true one.
func (c *privateClock) set(ahead time.Duration) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.pid), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening memory of a process: %w", err)
	}
	defer mem.Close()
	if _, err := mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(int64(ahead/time.Second))), int64(c.seconds)); err != nil {
		return fmt.Errorf("setting the clock of a process: %w", err)
	}
	return nil
}

// vdso is where the kernel's code is in a process.
func vdso(pid int) (begin, end uint64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading memory map: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "[vdso]") {
			_, err := fmt.Sscanf(lines.Text(), "%x-%x", &begin, &end)
			return begin, end, err
		}
	}
	return 0, 0, errors.New("reading memory map: no vdso")
}

// clockEntry finds the function in the code, which is a small shared library.
func clockEntry(image []byte) (uint64, error) {
	lib, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("reading vdso: %w", err)
	}
	symbols, err := lib.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("reading vdso: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return s.Value, nil
		}
	}
	return 0, errors.New("reading vdso: no clock_gettime")
}
