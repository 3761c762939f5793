package devstack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below Linux's ephemeral range (32768 and up): up there an outgoing
// connection may hold the port of a server that is just being restarted, and a client
// that reconnects to a dead loopback port can even connect to itself. 10000 more is the
// bus port of a Redis Cluster node, kept out of that range too.
const (
	firstPort = 20000
	lastPort  = 22700
	busOffset = 10000
)

// freePort finds a port that is free now. Somebody may take it before the server does, so
// callers try again with another one when the server says that its address is in use.
func freePort() (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if portFree(port) && portFree(port+busOffset) {
			return port, nil
		}
	}
	return 0, errors.New("finding a free port: none between " + strconv.Itoa(firstPort) + " and " + strconv.Itoa(lastPort))
}

func portFree(port int) bool {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
