package wp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// inspection is what an exchange must not take along.
type inspection struct {
	nested []string // other installs, relative to the docroot
	mounts []string
}

// inspect looks through the directories of the docroot. What the account may not enter holds
// nothing that runs as it.
func (x *exchanger) inspect() (inspection, error) {
	dir, err := x.root.OpenRoot(x.Target)
	if err != nil {
		return inspection{}, err
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	if err != nil {
		return inspection{}, err
	}
	var in inspection
	if home, err := x.root.Stat("."); err == nil && inodeOf(home).Dev != inodeOf(info).Dev {
		in.mounts = append(in.mounts, ".")
	}
	err = x.walk(dir, "", inodeOf(info).Dev, 0, &in)
	return in, err
}

func (x *exchanger) walk(dir *os.Root, rel string, dev uint64, depth int, in *inspection) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if depth > maxTreeDepth || len(rel) > maxTreePath {
		return tooDeep(rel)
	}
	if len(in.nested)+len(in.mounts) > maxBlocks {
		return fmt.Errorf("%s: too many installs: %w", cleanLine(rel, 200), fs.ErrInvalid)
	}
	names, err := list(dir, -1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if rel == "" && strings.HasPrefix(name, stagePrefix) {
			continue // of an op, this one's stage above all when the docroot is Home
		}
		info, err := dir.Lstat(name)
		if err != nil || !info.IsDir() {
			continue // gone since it was listed, or no directory
		}
		below, at := dir, path.Join(rel, name)
		if inodeOf(info).Dev != dev {
			in.mounts = append(in.mounts, at)
			continue
		}
		if below, err = dir.OpenRoot(name); err != nil {
			continue // closed to the account itself
		}
		if _, err := below.Lstat("wp-includes/version.php"); err == nil {
			in.nested = append(in.nested, at)
		} else if err := x.walk(below, at, dev, depth+1, in); err != nil && !errors.Is(err, fs.ErrPermission) {
			return errors.Join(err, below.Close())
		}
		if err := below.Close(); err != nil {
			return err
		}
	}
	return nil
}

const maxBlocks = 1000

// planner lists what changes places, entry by entry.
type planner struct {
	*exchanger
	inspection
	record *exchangeRecord
}

// entries adds all below rel, which both sides have or will have as a directory.
func (p *planner) entries(rel string) error {
	old, err := p.sorted(p.here(rel))
	if err != nil {
		return err
	}
	fresh, err := p.sorted(p.staged(rel))
	if err != nil {
		return err
	}
	names := slices.Concat(old, fresh)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if rel == "" && !p.belongs(name, slices.Contains(fresh, name)) {
			continue
		}
		if err := p.entry(path.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

// belongs: in the domain's own directory, what is neither WordPress's nor in the stage is
// something else's: logs, mail, other sites.
func (p *planner) belongs(name string, staged bool) bool {
	if strings.HasPrefix(name, stagePrefix) || name == closedSign {
		return false
	}
	return p.Target != "." || staged || coreEntry.MatchString(name)
}

func (p *planner) entry(at string) error {
	if slices.Contains(p.nested, at) {
		p.record.Kept = append(p.record.Kept, at)
		return nil
	}
	if slices.ContainsFunc(p.nested, func(n string) bool { return strings.HasPrefix(n, at+"/") }) {
		err := p.root.Mkdir(p.staged(at), 0o755) // what is not in the stage goes into it
		if info, statErr := p.root.Lstat(p.staged(at)); err != nil && (statErr != nil || !info.IsDir()) {
			return fmt.Errorf("%s has another install in it, and would be no directory any more: %w", cleanLine(at, 200), fs.ErrExist)
		}
		return p.entries(at)
	}
	return p.add(at)
}

func (p *planner) add(at string) (err error) {
	e := swapEntry{Name: at}
	if e.Old, err = p.inode(p.here(at)); err == nil {
		e.New, err = p.inode(p.staged(at))
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", cleanLine(at, 200), err)
	}
	if e.Old != 0 || e.New != 0 {
		p.record.Entries = append(p.record.Entries, e)
	}
	return nil
}

// chosen adds the paths that were asked for.
func (p *planner) chosen() error {
	for _, at := range p.Paths {
		if ExchangeablePath(at) != "" {
			return fmt.Errorf("%s: %w", cleanLine(at, 200), fs.ErrInvalid)
		}
		if err := p.straight(at); err != nil {
			return err
		}
		if err := p.add(at); err != nil {
			return err
		}
	}
	return nil
}

// straight refuses a path that leads over a link or touches another install, and notes which
// directories above it will have to be made.
func (p *planner) straight(at string) error {
	for _, n := range append(slices.Clone(p.nested), p.mounts...) {
		if n == at || strings.HasPrefix(at, n+"/") || strings.HasPrefix(n, at+"/") {
			return fmt.Errorf("%s: another install or file system is at %s: %w", cleanLine(at, 200), cleanLine(n, 200), fs.ErrInvalid)
		}
	}
	steps := strings.Split(at, "/")
	for i := 1; i < len(steps); i++ {
		parent := strings.Join(steps[:i], "/")
		info, err := p.root.Lstat(p.here(parent))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !slices.Contains(p.record.Made, parent) {
				p.record.Made = append(p.record.Made, parent)
			}
		case errors.Is(err, syscall.ENOTDIR), err == nil && !info.IsDir():
			return fmt.Errorf("%s: %s is a link or a file: %w", cleanLine(at, 200), cleanLine(parent, 200), fs.ErrInvalid)
		case err != nil:
			return err
		}
	}
	return nil
}
