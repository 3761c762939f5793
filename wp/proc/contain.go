package proc

import "sync/atomic"

// Containment is what bounds tenants' runs beyond what every kernel can do.
type Containment struct {
	Groups   *Groups   // nil: resource limits are per process and per user
	Landlock *Landlock // nil: files are reached as the user may
}

var containment atomic.Pointer[Containment]

// Contain sets what runs from now on are contained by; trusted ones never are. A worker
// calls it once, before its first run.
func Contain(c Containment) { containment.Store(&c) }

func contained(s *Spec) Containment {
	switch c := containment.Load(); {
	case s.Trusted:
		return Containment{}
	case s.within != nil:
		return *s.within
	case c != nil:
		return *c
	}
	return Containment{}
}
