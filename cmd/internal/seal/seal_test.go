package seal

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsSealedOpensToTheSame(t *testing.T) {
	t.Parallel()
	key, err := LoadOrCreate(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.String().Draw(t, "secret")
		sealed, err := To(key.Recipient(), secret)
		if err != nil {
			t.Fatal(err)
		}
		got, err := key.Open(sealed)
		if err != nil || got != secret {
			t.Fatalf("Open = %q, %v; want %q", got, err, secret)
		}
	})
}

func TestAnotherKeyOpensNothing(t *testing.T) {
	t.Parallel()
	mine, _ := LoadOrCreate(filepath.Join(t.TempDir(), "key"))
	other, _ := LoadOrCreate(filepath.Join(t.TempDir(), "key"))
	sealed, err := To(mine.Recipient(), "hush")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Open(sealed); err == nil {
		t.Errorf("another key read %q", got)
	}
	for _, bad := range []string{"", "hush", "age:", "age:!!", strings.TrimSuffix(sealed, "A") + "x"} {
		if got, err := mine.Open(bad); err == nil {
			t.Errorf("Open(%q) = %q, want an error", bad, got)
		}
	}
}

func TestProcessesThatStartTogetherShareOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	recipients := make([]string, 8)
	var wg sync.WaitGroup
	for i := range recipients {
		wg.Go(func() {
			if key, err := LoadOrCreate(path); err == nil {
				recipients[i] = key.Recipient()
			}
		})
	}
	wg.Wait()
	for _, r := range recipients {
		if r == "" || r != recipients[0] {
			t.Fatalf("recipients differ: %q", recipients)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}
