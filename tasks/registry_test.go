package tasks

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Payloads are in the queues of running fleets: what was once written must be
// read by every later program, and come out of it the same. The files are added
// to, never edited.
func TestPayloadsThatWereOnceWrittenAreStillRead(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		files, err := filepath.Glob(filepath.Join("testdata", "payloads", kind+"-*.json")) // of older programs
		must(t, err)
		files = append(files, filepath.Join("testdata", "payloads", kind+".json"))
		for _, file := range files {
			golden, err := os.ReadFile(file)
			must(t, err)
			task, spec, err := Decode(kind, golden)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if spec.Kind != kind || task.Kind() != kind || spec.Deadline <= 0 || spec.Class == "" {
				t.Errorf("%s: spec %+v", file, spec)
			}
			if found := task.Validate(); len(found) > 0 {
				t.Errorf("%s: %v", file, found)
			}
			again, err := json.Marshal(task)
			must(t, err)
			var was, is any
			must(t, json.Unmarshal(golden, &was))
			must(t, json.Unmarshal(again, &is))
			if diff := cmp.Diff(was, is); diff != "" {
				t.Errorf("%s: %s", file, diff)
			}
		}
	}
}

func TestStepNamesAreDistinct(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		golden, err := os.ReadFile(filepath.Join("testdata", "payloads", kind+".json"))
		must(t, err)
		task, _, err := Decode(kind, golden)
		must(t, err)
		var names []string
		for _, s := range task.Steps(&Run{}) {
			names = append(names, s.Name)
			if s.Message == "" || s.Do == nil && s.Verify == nil {
				t.Errorf("%s: step %q does nothing, or says nothing", kind, s.Name)
			}
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != len(names) || len(names) == 0 {
			t.Errorf("%s: steps %q", kind, names)
		}
	}
}

func TestDecodeGuessesNothing(t *testing.T) {
	t.Parallel()
	if _, _, err := Decode("plugin.levitate", []byte(`{}`)); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("unknown kind: %v", err)
	}
	for _, payload := range []string{
		``, `[]`, `{`, `{"titel":"x"}`, `{"Title":"x"}`, `{"title":"x","title":"y"}`, `{"title":1}`, `{} {}`, `{"plugins":"akismet"}`,
	} {
		if _, _, err := Decode("install", []byte(payload)); err == nil {
			t.Errorf("%s was accepted", payload)
		}
	}
}

func FuzzDecodeInstall(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "payloads", "install.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"admin_user":"--exec=phpinfo();","plugins":["--require=/x"]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		task, _, err := Decode("install", payload)
		if err != nil {
			return
		}
		if len(task.Validate()) > 0 {
			return
		}
		install := task.(*Install)
		for _, slug := range append(install.Plugins, install.Theme, install.AdminUser) {
			if slug != "" && slug[0] == '-' {
				t.Fatalf("%q would be a flag", slug)
			}
		}
		if len(task.Steps(&Run{})) < 8 {
			t.Fatal("steps are missing")
		}
	})
}
