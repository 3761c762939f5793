package main

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// freeAddrs finds free ports on loopback, below the range that the kernel hands out
// to clients, so that nothing takes them while their server is still starting.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := holdPort()
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are chosen, so that none is chosen twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// holdPort takes a free port and keeps it until the listener is closed.
func holdPort() (net.Listener, error) {
	const first, last = 23000, 32000
	var err error
	for range 200 {
		var l net.Listener
		if l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("finding a free port: %w", err)
}
