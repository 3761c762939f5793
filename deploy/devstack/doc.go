// Package devstack starts private Redis and MariaDB servers for the demo, the tests and
// the benchmarks: on loopback, on a free port, in a folder of their own, with a random
// password. Nothing that already runs on the machine is used or touched.
//
// Servers end when they are stopped and also when the process that started them dies,
// however it dies. Folders that such a death leaves behind are removed by the next start.
//
// A binary that starts servers calls proc.Main first thing in main. Test binaries do it with
//
//	func TestMain(m *testing.M) { os.Exit(devstack.Main(m)) }
//
// The programs come from the distribution's packages, see deploy/setup.sh. A program that
// is missing is an error, never a skipped test.
package devstack
