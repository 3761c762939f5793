// Package rewrite moves the data of a WordPress to another address: it replaces texts in
// values without breaking what PHP has serialized there, and filters the SQL of a dump so
// that it can be read into another database, under another table prefix.
//
// It is pure: bytes in, bytes out, in bounded memory.
package rewrite
