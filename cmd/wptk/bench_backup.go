package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

type benchBackupCmd struct {
	Size    int    `help:"Uploads of the site, in MB." default:"600" env:"-"`
	Rounds  int    `help:"Rounds; each backs up by every way, and anew." default:"3" env:"-"`
	Version string `help:"Version of WordPress." default:"6.5.5" env:"-"`
}

// How many times faster than dump and zip a backup is to be, and what share of an unchanged
// site its next one may move.
const (
	backupGoal    = 3
	unchangedGoal = 7
	movedGoal     = 0.01
)

// backupFigures are those of a first backup, with those of the next one beside.
type backupFigures struct {
	figures
	Unchanged unchangedFigures `json:"unchanged"`
	TarGzip   float64          `json:"tar_gzip"` // ms, of the same
	Bytes     int64            `json:"bytes"`    // of the site: files and dump
	ZipBytes  int64            `json:"zip_bytes"`
	Drill     drillFigures     `json:"drill"`
}

// unchangedFigures are of the backup of a site that has one already.
type unchangedFigures struct {
	Value  float64    `json:"value"` // ms
	Ratio  float64    `json:"ratio"` // to the same baseline: it knows no other way than the whole
	Goal   float64    `json:"goal"`
	Moved  int64      `json:"moved"` // bytes that the store did not have, the most of all rounds
	Share  float64    `json:"share"` // of all bytes
	Spread [2]float64 `json:"spread"`
}

// Run measures and prints.
func (cmd *benchBackupCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Rounds < 1 || cmd.Size < 1 {
		return usage("--rounds and --size must be at least 1")
	}
	for _, name := range []string{"restic", "zip", "tar", "gzip", "sync"} {
		if _, err := program(name); err != nil {
			return err
		}
	}
	e := &e2e{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, cmd: &e2eCmd{Versions: []string{cmd.Version}},
		results: map[string]map[string]*e2eResult{}}
	if e.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	e.stack = newStack(e.state)
	b := &backupBench{cmd: cmd}
	failure := e.up(ctx)
	if failure == nil {
		failure = e.sites[0].examine(ctx, b.measure)
	}
	if err := errors.Join(failure, e.takeDown(failure != nil)); err != nil {
		return err
	}
	f := b.figures()
	return a.measured(f, f.Met, "BACKUP-MS MIN MEDIAN MAX", b.rows())
}

// backupBench is what the rounds took, in ms.
type backupBench struct {
	cmd                           *benchBackupCmd
	first, unchanged, zipped, tgz []float64
	bytes, moved, zipBytes        int64
	drilled                       drillFigures
}

func (b *backupBench) measure(x *exam) {
	checkInstall(x)
	x.note(x.upload(int64(b.cmd.Size) << 20))
	for round := range b.cmd.Rounds {
		ways := []func(*exam, int){b.ours, b.zip, b.tarGzip}
		for i := range ways {
			if round%2 == 1 { // so that none always comes after the same other
				i = len(ways) - 1 - i
			}
			ways[i](x, round)
		}
	}
	b.drill(x)
}

// ours takes a backup into an empty store, and another one of the same.
func (b *backupBench) ours(x *exam, _ int) {
	store := x.e2e.state.dir(e2eNode, "backups", x.user.Name)
	x.note(os.RemoveAll(store))
	for _, times := range []*[]float64{&b.first, &b.unchanged} {
		x.settle()
		began := time.Now()
		var made tasks.Backup
		x.change("/backup", nil, &made)
		if x.err != nil {
			return
		}
		*times = append(*times, milliseconds(time.Since(began)))
		x.check(made.Bytes > int64(b.cmd.Size)<<20 && made.Tables["wpe_posts"] > 0, "the backup is %s", inJSON(made))
		if b.bytes = made.Bytes; times == &b.unchanged {
			b.moved = max(b.moved, made.Added)
		} else {
			x.check(made.Added > made.Bytes/4, "the first backup of %d bytes added %d: the store was not empty", made.Bytes, made.Added)
		}
	}
}

// zip is what a panel does without the toolkit.
func (b *backupBench) zip(x *exam, round int) {
	file := b.packed(x, round, &b.zipped, "backup.zip", func(dump, file string) {
		x.tenant("", "zip", "-q", "-r", file, ".")
		x.tenant("", "zip", "-q", "-j", file, dump)
	})
	if info, err := os.Stat(file); err != nil {
		x.note(err)
	} else {
		b.zipBytes = info.Size()
	}
	x.drop(filepath.Dir(file))
}

func (b *backupBench) tarGzip(x *exam, round int) {
	file := b.packed(x, round, &b.tgz, "backup.tar.gz", func(dump, file string) {
		x.tenant("", "tar", "-czf", file, ".", dump)
	})
	x.drop(filepath.Dir(file))
}

// packed dumps and packs into a folder of its own, to the disk.
func (b *backupBench) packed(x *exam, round int, times *[]float64, name string, pack func(dump, file string)) string {
	dir := filepath.Join(x.tmp(), name+"-"+strconv.Itoa(round))
	x.tenant("", "mkdir", dir)
	x.settle()
	dump, file := filepath.Join(dir, "database.sql"), filepath.Join(dir, name)
	began := time.Now()
	x.wpcli("db", "export", dump)
	pack(dump, file)
	x.tenant("", "sync", file, dir) // restic writes its files through, too
	*times = append(*times, milliseconds(time.Since(began)))
	return file
}

// settle waits until what was written before is on the disk, so that nobody pays for others.
func (x *exam) settle() { x.tenant("", "sync") }

func (b *backupBench) figures() backupFigures {
	first, firstMin, firstMax := spread(b.first)
	again, againMin, againMax := spread(b.unchanged)
	share := float64(b.moved) / float64(max(b.bytes, 1))
	f := backupFigures{
		figures: figures{
			Name: "bench.backup", Value: figure(first), Unit: "ms", Baseline: figure(quantile(b.zipped, .5)),
			BaselineName: "wp db export, zip -r", Ratio: figure(ratios(b.zipped, b.first)), Goal: backupGoal,
			N: len(b.first), Spread: [2]float64{figure(firstMin), figure(firstMax)},
		},
		Unchanged: unchangedFigures{
			Value: figure(again), Ratio: figure(ratios(b.zipped, b.unchanged)), Goal: unchangedGoal,
			Moved: b.moved, Share: figure(share), Spread: [2]float64{figure(againMin), figure(againMax)},
		},
		TarGzip: figure(quantile(b.tgz, .5)), Bytes: b.bytes, ZipBytes: b.zipBytes, Drill: b.drilled,
	}
	f.Met = f.Ratio >= backupGoal && f.Unchanged.Ratio >= unchangedGoal && share < movedGoal && f.Drill.held()
	return f
}

func spread(ms []float64) (median, least, most float64) {
	return quantile(ms, .5), quantile(ms, 0), quantile(ms, 1)
}

// ratios is the median of the rounds' ratios: within one round both had the same machine.
func ratios(baseline, ours []float64) float64 {
	var all []float64
	for i := range min(len(baseline), len(ours)) {
		all = append(all, baseline[i]/max(ours[i], 1))
	}
	return quantile(all, .5)
}

func (b *backupBench) rows() (rows [][]string) {
	for _, way := range []struct {
		name string
		ms   []float64
	}{{"first", b.first}, {"unchanged", b.unchanged}, {"zip", b.zipped}, {"tar+gzip", b.tgz}} {
		median, least, most := spread(way.ms)
		rows = append(rows, []string{way.name, digits(least, 0), digits(median, 0), digits(most, 0)})
	}
	return append(rows, []string{"moved", strconv.FormatInt(b.moved, 10), "of", strconv.FormatInt(b.bytes, 10)},
		[]string{"drill", strconv.Itoa(b.drilled.Files) + " files", strconv.Itoa(b.drilled.Tables) + " tables", strconv.Itoa(len(b.drilled.Differ)) + " differ"})
}

// upload fills the site's uploads, as its user: three quarters are pictures and the like,
// which cannot be compressed, the rest is text.
func (x *exam) upload(size int64) error {
	if x.err != nil {
		return nil
	}
	path, err := program("tar")
	if err != nil {
		return err
	}
	in, feed := io.Pipe()
	go func() { feed.CloseWithError(writeUploads(feed, size)) }()
	out := proc.Capped(4 << 10)
	exit, err := proc.Run(x.ctx, proc.Spec{Path: path, Args: []string{"-xf", "-", "-C", "wp-content"}, Dir: x.docroot(), As: x.user,
		Env: toolEnv, Stdin: in, Stdout: out, Stderr: out})
	in.CloseWithError(io.ErrClosedPipe)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d: %s", exit.Code, clean(string(out.Bytes())))
	}
	if err != nil {
		return fmt.Errorf("filling uploads: %w", err)
	}
	return nil
}

// writeUploads writes a tar of files between 32 KiB and 4 MiB. They are the same each time.
func writeUploads(to io.Writer, size int64) error {
	random := rand.NewChaCha8([32]byte{})
	words := rand.New(random)
	w := tar.NewWriter(to)
	for n := 0; size > 0; n++ {
		content := make([]byte, min(size, 32<<10<<words.IntN(8)))
		size -= int64(len(content))
		_, _ = random.Read(content) // never fails
		name := fmt.Sprintf("uploads/2024/%02d/%05d.jpg", n%12+1, n)
		if n%4 == 3 {
			name += ".txt"
			for i, b := range content { // four bits of each byte, as in prose
				content[i] = "etaoin shrdlucmf"[b&15]
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1.7e9, 0)}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return w.Close()
}
