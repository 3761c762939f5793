package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// posts is a dump of a blog: rows of text with a link in some, and meta rows of which a few
// are serialized or JSON.
func posts(size int) []byte {
	var b bytes.Buffer
	b.WriteString("CREATE TABLE `wp_posts` (\n `ID` bigint,\n `post_content` longtext,\n `guid` varchar(255)\n);\n")
	prose := strings.Repeat(`Lorem ipsum dolor sit amet, it\'s a <p class=\"wp-block\">consetetur</p>\n\n<!-- /wp:paragraph --> sadipscing elitr. `, 12)
	for id := 0; b.Len() < size; {
		b.WriteString("INSERT INTO `wp_posts` VALUES\n")
		for n := range 400 {
			id++
			link := ""
			if n%4 == 0 {
				link = `<img src=\"https://old.test/wp-content/uploads/2024/01/a.jpg\">`
			}
			if n%25 == 0 {
				link = `a:2:{s:3:\"url\";s:16:\"https://old.test\";s:4:\"data\";s:28:\"{\"u\":\"https:\\/\\/old.test\\/\"}\";}`
			}
			if n > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, "(%d,'%s%s','https://old.test/?p=%d')", id, link, prose, id)
		}
		b.WriteString(";\n")
	}
	b.WriteString("-- Dump completed\n")
	return b.Bytes()
}

// perCPU reports what one core does in a second of its own time, which a busy machine does
// not change.
func perCPU(b *testing.B, size int) func() {
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	}
	began := used()
	return func() { b.ReportMetric(float64(size)*float64(b.N)/1e6/(used()-began), "MB/cpu-s") }
}

func BenchmarkFilter(b *testing.B) {
	dump := posts(32 << 20)
	for name, f := range map[string]Filter{
		"move": {Rewriter: New(SiteRules(oldSite, newSite)), Prefix: [2]string{"wp_", "x_"}},
		"pass": {},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(dump)))
			b.ReportAllocs()
			defer perCPU(b, len(dump))()
			for b.Loop() {
				if _, err := f.Copy(io.Discard, bytes.NewReader(dump)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	moved := New(SiteRules(oldSite, newSite))
	for name, value := range map[string]string{
		"without a match": strings.Repeat("Lorem ipsum dolor sit amet, ", 400),
		"plain":           strings.Repeat("Lorem ipsum dolor sit amet, ", 400) + "https://old.test",
		"serialized":      string(serializedString([]byte(strings.Repeat("Lorem ipsum dolor sit amet, ", 400) + "https://old.test"))),
		"json":            `{"t":"` + strings.Repeat("Lorem ipsum dolor sit amet, ", 400) + `","u":"https:\/\/old.test\/","s":"s:16:\"https:\/\/old.test\";"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(value)))
			defer perCPU(b, len(value))()
			for b.Loop() {
				moved.Text([]byte(value))
			}
		})
	}
}
