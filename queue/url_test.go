package queue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestURLsOfEveryTopology(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]target{
		"redis://h":                              {addrs: []string{"h:6379"}},
		"redis://h:7000/3":                       {addrs: []string{"h:7000"}, db: 3},
		"redis://h?db=4":                         {addrs: []string{"h:6379"}, db: 4},
		"redis://u:p%40ss%2F@h/":                 {addrs: []string{"h:6379"}, username: "u", password: "p@ss/"},
		"redis://:pw@[::1]:6380":                 {addrs: []string{"[::1]:6380"}, password: "pw"},
		"redis+sentinel://a,b:26380/main":        {topology: sentinel, addrs: []string{"a:26379", "b:26380"}, master: "main"},
		"redis+sentinel://u:p@a/main?db=2":       {topology: sentinel, addrs: []string{"a:26379"}, master: "main", db: 2, username: "u", password: "p"},
		"redis+cluster://:p@a:7001,b:7002,[::2]": {topology: cluster, addrs: []string{"a:7001", "b:7002", "[::2]:6379"}, password: "p"},
	} {
		got, err := parseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{}), cmpopts.IgnoreFields(target{}, "tls")); diff != "" {
			t.Errorf("%s: %s", raw, diff)
		}
	}
}

func TestRedissURLsMeanTLS(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"rediss://h", "rediss+sentinel://h/m", "rediss+cluster://h,i"} {
		if got, err := parseURL(raw); err != nil || got.tls == nil {
			t.Errorf("%s: tls %v, error %v", raw, got.tls, err)
		}
	}
}

func TestBadURLsAreRefusedWithoutTheirPassword(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "h:6379", "http://:hunter2@h", "redis+foo://:hunter2@h", "redis://:hunter2@h:99999", "redis://:hunter2@h:x",
		"redis://:hunter2@a,b", "redis+sentinel://:hunter2@a", "redis+cluster://:hunter2@a/1", "redis+cluster://:hunter2@a?db=1",
		"redis://:hunter2@h/x", "redis://:hunter2@h/-1", "redis://:hunter2@h?pool=3", "redis://:hunter2@", "redis://:hunter2%zz@h",
		"redis://:hunter2@h#f", "rediss+:// :hunter2@h",
	} {
		_, err := parseURL(raw)
		if err == nil {
			t.Errorf("%q was accepted", raw)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("redis://u:p@h:1/2")
	f.Add("rediss+sentinel://a,b/m?db=1")
	f.Add("redis+cluster://[::1]:1,b")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseURL(raw)
		if err == nil && (len(got.addrs) == 0 || got.topology == sentinel && got.master == "") {
			t.Errorf("%q gave %+v", raw, got)
		}
	})
}
