package wp

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Hardening is what the node remembers of one install: the measures that are to be in
// force and the page cache, and what it takes to take them back exactly.
type Hardening struct {
	// Whose it is, for what the node begins by itself.
	Account string `json:"account"`
	Domain  string `json:"domain"`
	Path    string `json:"path"`

	Measures map[string]Applied `json:"measures"`
	// Made: the install had no .htaccess before our block.
	Made bool `json:"htaccess_made,omitempty"`

	Pages *PageCacheMemory `json:"page_cache,omitempty"`
}

// Applied is one measure in force.
type Applied struct {
	Op     string         `json:"op"`
	At     time.Time      `json:"at"`
	Server string         `json:"server,omitempty"` // whom the rules are for: apache, nginx or unknown
	Config []ConfigChange `json:"config,omitempty"`
	Want   []WantedConst  `json:"want,omitempty"`

	Log   string    `json:"log,omitempty"` // of toggle-debug, absolute
	Until time.Time `json:"until,omitzero"`
	// Ending is the op that is to end the measure, once Until has passed.
	Ending string `json:"ending,omitempty"`

	Pings *Pings `json:"pings,omitempty"`
	// MadeDir: the install had no directory of must-use plugins.
	MadeDir bool `json:"made_dir,omitempty"`
}

// WantedConst is a constant and the source of the value that a measure gave it.
type WantedConst struct {
	Name   string `json:"name"`
	Source string `json:"source"`
}

// Edits give the constants their values.
func (a Applied) Edits() []ConfigEdit {
	edits := make([]ConfigEdit, len(a.Want))
	for i, w := range a.Want {
		edits[i] = ConfigEdit{w.Name, Literal{w.Source}}
	}
	return edits
}

// Wanted is the other way round.
func Wanted(edits []ConfigEdit) []WantedConst {
	want := make([]WantedConst, len(edits))
	for i, e := range edits {
		want[i] = WantedConst{e.Name, e.Value.src}
	}
	return want
}

// Has reports whether a measure is to be in force.
func (h Hardening) Has(id string) bool { _, ok := h.Measures[id]; return ok }

// MeasureStore keeps it in the node's private directory, one file per install. The
// install's lock is what keeps writers of one file apart.
type MeasureStore struct{ dir string }

// OpenMeasures makes the directory, which nobody else may enter.
func OpenMeasures(dir string) (*MeasureStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making directory of measures: %w", err)
	}
	return &MeasureStore{dir: dir}, nil
}

var storeID = regexp.MustCompile(`^(?:wp|op)_[0-9a-f-]{1,64}$`)

func (s *MeasureStore) file(id, suffix string) (string, error) {
	if s == nil {
		return "", errors.New("measures: this node keeps none")
	}
	if !storeID.MatchString(id) {
		return "", fmt.Errorf("measures: %q is no id", id)
	}
	return filepath.Join(s.dir, id+suffix), nil
}

// Load reads what is remembered of an install; nothing is no error.
func (s *MeasureStore) Load(site string) (Hardening, error) {
	h := Hardening{Measures: map[string]Applied{}}
	file, err := s.file(site, ".json")
	if err != nil {
		return h, err
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return h, fmt.Errorf("reading measures: %w", err)
	}
	if h.Measures == nil {
		h.Measures = map[string]Applied{}
	}
	return h, nil
}

// Save replaces it, on disk when it returns. Nothing to remember leaves no file.
func (s *MeasureStore) Save(site string, h Hardening) error {
	file, err := s.file(site, ".json")
	if err != nil {
		return err
	}
	if len(h.Measures) == 0 && h.Pages == nil {
		return s.remove(file)
	}
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding measures: %w", err)
	}
	return s.write(file, data)
}

func (s *MeasureStore) write(file string, data []byte) error {
	dir, err := os.OpenRoot(s.dir)
	if err == nil {
		err = errors.Join(replace(dir, filepath.Base(file), data, 0o600), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("writing measures: %w", err)
	}
	return nil
}

func (s *MeasureStore) remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing measures: %w", err)
	}
	return nil
}

// Forget drops everything about an install that is gone.
func (s *MeasureStore) Forget(site string) error {
	state, err := s.file(site, ".json")
	if err != nil {
		return err
	}
	return errors.Join(s.remove(state), s.SaveModes(site, nil))
}

// SaveModes keeps a list of modes for an install or an op; none removes it.
func (s *MeasureStore) SaveModes(id string, modes []PathMode) error {
	file, err := s.file(id, ".modes")
	if err != nil {
		return err
	}
	if len(modes) == 0 {
		return s.remove(file)
	}
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(w).Encode(modes), w.Close()); err != nil {
		return fmt.Errorf("encoding modes: %w", err)
	}
	return s.write(file, []byte(b.String()))
}

// LoadModes reads such a list; ok is false when there is none.
func (s *MeasureStore) LoadModes(id string) (modes []PathMode, ok bool, err error) {
	file, err := s.file(id, ".modes")
	if err != nil {
		return nil, false, err
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading modes: %w", err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err == nil {
		err = json.NewDecoder(r).Decode(&modes)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading modes: %w", err)
	}
	return modes, true, nil
}

// ForgetMeasures drops what the node has of an install that is gone: its memory, and
// its rules for nginx.
func (h *Host) ForgetMeasures(ctx context.Context, id string) error {
	if h.Measures == nil {
		return nil
	}
	errs := []error{h.Measures.Forget(id)}
	rules, err := filepath.Glob(filepath.Join(h.Web.NginxDir, "*", id+".conf"))
	if h.Web.NginxDir == "" || len(rules) == 0 {
		return errors.Join(append(errs, err)...)
	}
	for _, file := range rules {
		errs = append(errs, putServerFile(file, nil))
	}
	return errors.Join(append(errs, h.Web.run(ctx, h.Web.NginxReload))...)
}

// Due is a measure whose time is over.
type Due struct {
	Site      string
	Measure   string
	Hardening Hardening
}

// Due lists what was to end before now.
func (s *MeasureStore) Due(now time.Time) ([]Due, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "wp_*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing measures: %w", err)
	}
	var due []Due
	var errs []error
	for _, file := range files {
		site := strings.TrimSuffix(filepath.Base(file), ".json")
		h, err := s.Load(site)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for id, a := range h.Measures {
			if !a.Until.IsZero() && a.Until.Before(now) {
				due = append(due, Due{site, id, h})
			}
		}
	}
	return due, errors.Join(errs...)
}
