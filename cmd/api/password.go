package main

import "crypto/rand"

// passwordAlphabet leaves out what is mistaken for something else when read aloud
// or copied by hand. 24 of its 55 letters are 138 bits.
const (
	passwordAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
	passwordLength   = 24
)

func newPassword() string {
	const fair = 256 / len(passwordAlphabet) * len(passwordAlphabet) // bytes above would favour the first letters
	out, raw := make([]byte, 0, passwordLength), make([]byte, 2*passwordLength)
	for len(out) < passwordLength {
		rand.Read(raw) // never fails: the process ends if the system has no randomness
		for _, b := range raw {
			if int(b) < fair && len(out) < passwordLength {
				out = append(out, passwordAlphabet[int(b)%len(passwordAlphabet)])
			}
		}
	}
	return string(out)
}
