package golden

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Hashes that WordPress and phpass themselves have made.
func TestHashesOfWordPressMatch(t *testing.T) {
	t.Parallel()
	const known = "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0" // of phpass's own test.php
	if !Matches(known, "test12345") || !Matches(known, " test12345\n") || Matches(known, "test12346") {
		t.Error("phpass's own hash does not match")
	}
}

func TestHashIsOfTheKindAndCostOfItsModel(t *testing.T) {
	t.Parallel()
	for _, like := range []string{"$wp$2y$04$" + strings.Repeat(".", 53), "$P$5" + strings.Repeat(".", 30)} {
		rapid.Check(t, func(t *rapid.T) {
			password := rapid.String().Draw(t, "password")
			hash, err := Hash(like, password)
			if err != nil || !strings.HasPrefix(hash, like[:4]) || len(hash) != len(like) {
				t.Fatalf("%q %v", hash, err)
			}
			if !Matches(hash, password) || Matches(hash, password+"x") {
				t.Fatalf("%q", hash)
			}
		})
	}
}

// Who can write a hash into a database shall not keep the node busy with it, nor end it.
func TestHashThatTakesForEverIsNotTried(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"$wp$2y$31$" + strings.Repeat(".", 53), "$P$S" + strings.Repeat(".", 30), "$P$", "", "$wp$2y$", "$2y$10$abc", "$P$B12345678"} {
		if Matches(hash, "x") {
			t.Errorf("%q matches", hash)
		}
		if len(hash) < 64 || hash[7] == '3' {
			if _, err := Hash(hash, "x"); err == nil && !strings.HasPrefix(hash, "$P$B") {
				t.Errorf("%q is a model", hash)
			}
		}
	}
}

func FuzzMatchesTakesAnything(f *testing.F) {
	f.Add("$P$B12345678"+strings.Repeat("a", 22), "x")
	f.Add("$wp$2y$04$"+strings.Repeat(".", 53), "x")
	f.Fuzz(func(t *testing.T, hash, password string) {
		if strings.HasPrefix(hash, beginBcrypt+"1") || strings.HasPrefix(hash, beginPhpass) && len(hash) > 3 && strings.IndexByte(itoa64, hash[3]) > 12 {
			return // valid, and slow
		}
		Matches(hash, password)
	})
}

func TestValuesThatWordPressChangesAreRefused(t *testing.T) {
	t.Parallel()
	good := Values{Prefix: "wp_", URL: "https://a.test:8443/b/C_1.x", Title: "R&D <1> & 2;", Login: "the.boss x@y", Email: "a+b@c.test"}
	if reason := good.Refuse(); reason != "" {
		t.Error(reason)
	}
	for _, spoil := range []func(*Values){
		func(v *Values) { v.Prefix = "wp`_" },
		func(v *Values) { v.URL = "https://a.test/b/" },
		func(v *Values) { v.URL = "https://a.test/ü" },
		func(v *Values) { v.Title = "Fish &amp; chips" },
		func(v *Values) { v.Title = "&#x27;" },
		func(v *Values) { v.Login = "a  b" },
		func(v *Values) { v.Login = "@@" },
		func(v *Values) { v.Email = "o'brien@c.test" },
		func(v *Values) { v.Email = "a&b@c.test" },
	} {
		v := good
		if spoil(&v); v.Refuse() == "" {
			t.Errorf("%+v is taken", v)
		}
	}
}

// Nicenames as WordPress makes them (sanitize_title).
func TestNicenames(t *testing.T) {
	t.Parallel()
	for login, want := range map[string]string{
		"Boss": "boss", "the boss": "the-boss", "a.b@c.d": "a-bc-d", "_x_": "_x_", "a.-b": "a-b", "@": "", ".x.": "x",
		strings.Repeat("a", 60): strings.Repeat("a", 50),
	} {
		if got := nicename(login); got != want {
			t.Errorf("%q is %q, want %q", login, got, want)
		}
	}
}
