package main

import (
	"encoding/binary"
	"time"
)

// steppedClock is what clock_gettime becomes in a process with a clock of its own: the
// system call, and for CLOCK_REALTIME so many seconds more. The seconds are its last eight
// bytes, which start on a multiple of eight, so that a running process reads all of them or none.
func steppedClock(at uint64, step time.Duration) (code []byte, seconds uint64) {
	code = []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
		0x75, 0x0a, // jne to the ret
		0x48, 0x8b, 0x15, 0, 0, 0, 0, // mov rdx, [rip+…], the seconds
		0x48, 0x01, 0x16, // add [rsi], rdx
		0xc3, // ret
	}
	const load = 18 // where the mov ends
	seconds = (at + uint64(len(code)) + 7) &^ 7
	binary.LittleEndian.PutUint32(code[load-4:], uint32(seconds-at-load))
	for uint64(len(code)) < seconds-at {
		code = append(code, 0xcc)
	}
	return binary.LittleEndian.AppendUint64(code, uint64(int64(step/time.Second))), seconds
}
