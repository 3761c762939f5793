// Package tasks is the vocabulary of the toolkit: what can be asked for (a
// Task of some kind), how one run of it stands (an Op and its Events), and how
// it is carried out on the node (Steps, driven by Execute over a Journal).
//
// A kind is one file: the payload, what makes it valid, and its steps. Adding
// one touches that file, its test, one line in registry.go and one golden
// payload in testdata/payloads.
//
// The package knows WordPress (package wp) and nothing of HTTP or Redis: the
// API and the worker both import it, and neither can be pulled in through it.
package tasks
