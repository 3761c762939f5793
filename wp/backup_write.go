package wp

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/rewrite"
)

// A backup is one tar:
//
//	backup.json              the manifest
//	database/000001.sql …    the dump, in parts, so that nobody has to know its size beforehand
//	files/…                  the docroot
//	above/wp-config.php      when it lies there
//	summary.json             what was written, with checksums
const (
	entryManifest = "backup.json"
	entryDatabase = "database/"
	entryFiles    = "files/"
	entryAbove    = "above/wp-config.php"
	entrySummary  = "summary.json"
)

const dumpPart = 1 << 20

// ErrIncompleteDump says that the database's dump broke off.
var ErrIncompleteDump = errors.New("the dump of the database is not complete")

// WriteBackup writes an install as one stream, database first. What m lacks of the install it
// finds out. Files are as they are when they are read; the dump is one transaction.
func (h *Host) WriteBackup(ctx context.Context, site Site, what BackupSelection, m BackupManifest, w io.Writer, progress func(BackupProgress)) (BackupSummary, error) {
	b := &backupWriter{host: h, site: site, what: what, manifest: m, progress: progress}
	b.out = bufio.NewWriterSize(&streamCounter{to: w, n: &b.done.Bytes}, streamBuffer)
	b.tar = tar.NewWriter(b.out)
	if err := b.write(ctx); err != nil {
		return BackupSummary{}, fmt.Errorf("writing backup: %w", err)
	}
	return b.sum, nil
}

type backupWriter struct {
	host     *Host
	site     Site
	what     BackupSelection
	manifest BackupManifest
	progress func(BackupProgress)

	out  *bufio.Writer
	tar  *tar.Writer
	done BackupProgress
	sum  BackupSummary
}

type streamCounter struct {
	to io.Writer
	n  *int64
}

func (c *streamCounter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	*c.n += int64(n)
	return n, err
}

func (b *backupWriter) write(ctx context.Context) error {
	found, err := b.host.Files.Look(ctx, b.site)
	if err != nil {
		return err
	}
	config, text, err := b.host.LoadConfig(ctx, b.site)
	if err != nil && (b.what.Database || !errors.Is(err, fs.ErrNotExist)) {
		return err // files alone need no configuration
	}
	above := err == nil && filepath.Dir(config) != b.site.Docroot
	m := &b.manifest
	m.Format, m.WordPress, m.ConfigAbove = BackupFormat, found.Version, above && b.what.Files
	m.Account, m.Domain, m.Path = b.site.Account, b.site.Domain, b.site.Path
	m.Database, m.TablePrefix, m.Multisite = found.Config.DBName, found.Config.TablePrefix, found.Config.Multisite
	if m.Docroot == "" {
		m.Docroot = b.site.Docroot
	}
	if m.URL == "" {
		m.URL = b.site.URL
	}
	b.sum.WordPress, b.sum.TablePrefix = m.WordPress, m.TablePrefix
	if b.what.Files && !b.what.Nested {
		belongings, err := b.host.Files.Belongings(ctx, b.site)
		if err != nil {
			return err
		}
		m.Nested = belongings.Nested
	}
	if err := b.json(entryManifest, m); err != nil {
		return err
	}
	if b.what.Database {
		if err := b.database(ctx, found); err != nil {
			return err
		}
	}
	if b.what.Files {
		if err := b.files(ctx, text.Data, m.ConfigAbove); err != nil {
			return err
		}
	}
	if err := b.json(entrySummary, b.sum); err != nil {
		return err
	}
	return errors.Join(b.tar.Close(), b.out.Flush())
}

// said tells how far it is.
func (b *backupWriter) said() {
	if b.progress != nil {
		b.progress(b.done)
	}
}

func (b *backupWriter) json(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return b.bytes(name, append(data, '\n'))
}

func (b *backupWriter) bytes(name string, data []byte) error {
	return writeEntry(b.tar, &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: b.manifest.Created.Truncate(time.Second),
	}, strings.NewReader(string(data)))
}

// database writes the dump. The rows are counted in what is written, not in the tables, which
// go on changing.
func (b *backupWriter) database(ctx context.Context, found Found) error {
	options := DumpOptions{Tables: b.what.Tables}
	if len(options.Tables) == 0 {
		part, err := b.host.ownTables(ctx, found)
		if err != nil {
			return err
		}
		if !part.Whole { // others are in it as well
			options.Tables = part.Tables
		}
	}
	login, err := b.host.Login(ctx, b.site)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	type counted struct {
		stats rewrite.Stats
		err   error
	}
	counts := make(chan counted, 1)
	go func() {
		stats, err := rewrite.Filter{}.Copy(io.Discard, r)
		r.CloseWithError(err)
		counts <- counted{stats, err}
	}()
	parts := &dumpParts{b: b, sum: sha256.New(), buf: make([]byte, 0, dumpPart)}
	err = b.host.Dump(ctx, b.site, login, options, io.MultiWriter(parts, w))
	w.CloseWithError(err)
	c := <-counts
	if err = errors.Join(err, parts.flush()); err != nil {
		return err
	}
	if c.err != nil {
		return fmt.Errorf("counting rows of the dump: %w", c.err)
	}
	if !c.stats.Complete {
		return ErrIncompleteDump
	}
	b.sum.Tables = make(map[string]int64, len(c.stats.Tables))
	for _, t := range c.stats.Tables {
		b.sum.Tables[t.Name] = t.Rows
	}
	b.sum.DatabaseSum = hex.EncodeToString(parts.sum.Sum(nil))
	return nil
}

// ownTables asks, as the tenant, which tables of the database are the install's.
func (h *Host) ownTables(ctx context.Context, found Found) (DatabasePart, error) {
	c := found.Config
	part := DatabasePart{Name: c.DBName, User: c.DBUser, Tables: []string{}}
	if c.TablePrefix == "" || !tablePattern.MatchString(c.TablePrefix) {
		return part, ErrConfigComputed
	}
	answer, err := h.asTenant(ctx, found, tablesRequest{})
	if err != nil {
		return part, err
	}
	if answer.Refused != "" {
		why := ErrDatabaseConnection
		if !c.Simple { // with what PHP makes of the file it may well get in
			why = ErrConfigComputed
		}
		return part, fmt.Errorf("%w: %s", why, cleanLine(answer.Refused, 200))
	}
	part.take(c.TablePrefix, answer.Tables)
	return part, nil
}

// DatabaseSize is how many bytes the tables of an install take in its database, about.
func (h *Host) DatabaseSize(ctx context.Context, found Found) (int64, error) {
	part, err := h.ownTables(ctx, found)
	return part.Bytes, err
}

// dumpParts writes a dump as entries of a known size.
type dumpParts struct {
	b   *backupWriter
	sum hash.Hash
	buf []byte
	n   int
}

func (d *dumpParts) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		k := min(len(p), cap(d.buf)-len(d.buf))
		d.buf = append(d.buf, p[:k]...)
		p = p[k:]
		if len(d.buf) == cap(d.buf) {
			if err := d.flush(); err != nil {
				return 0, err
			}
		}
	}
	return all, nil
}

func (d *dumpParts) flush() error {
	if len(d.buf) == 0 {
		return nil
	}
	d.n++
	d.sum.Write(d.buf)
	d.b.sum.DumpBytes += int64(len(d.buf))
	err := d.b.bytes(fmt.Sprintf("%s%06d.sql", entryDatabase, d.n), d.buf)
	d.buf = d.buf[:0]
	d.b.said()
	return err
}

// files writes the docroot, and the wp-config.php above it.
func (b *backupWriter) files(ctx context.Context, config []byte, above bool) error {
	sum := sha256.New()
	req := packRequest{Skip: b.manifest.Nested, Paths: b.what.Paths}
	answer, err := b.host.packed(ctx, b.site, req, func(r *tar.Reader) error {
		return eachEntry(r, func(e *tar.Header, content io.Reader) error {
			b.sum.count(e)
			b.done.Files = b.sum.Files
			hashEntry(sum, e)
			e.Name = entryFiles + e.Name
			err := writeEntry(b.tar, e, io.TeeReader(content, sum))
			b.said()
			return err
		})
	})
	if err != nil {
		return err
	}
	b.sum.Skipped, b.sum.Changed = answer.Skipped, answer.Changed
	b.sum.FilesSum = hex.EncodeToString(sum.Sum(nil))
	if !above {
		return nil
	}
	b.sum.AboveSum = sumOf(Text{Data: config, Exists: true})
	return b.bytes(entryAbove, config)
}

func (s *BackupSummary) count(e *tar.Header) {
	switch e.Typeflag {
	case tar.TypeReg:
		s.Files++
		s.FileBytes += e.Size
	case tar.TypeDir:
		s.Directories++
	default:
		s.Links++
	}
}

// hashEntry adds an entry to the checksum of the files: of name, type, permissions and size
// here, followed by the content. Times are not in it. The name is relative to the docroot.
func hashEntry(to hash.Hash, e *tar.Header) {
	fmt.Fprintf(to, "%c %q %o %d %q\n", e.Typeflag, e.Name, e.Mode, e.Size, e.Linkname)
}

// FilesSum packs the docroot of a site and answers the checksum that a backup of it would
// have, which is how an unpacked backup is compared with what was stored.
func (h *Host) FilesSum(ctx context.Context, site Site) (string, error) {
	sum := sha256.New()
	_, err := h.packed(ctx, site, packRequest{}, func(r *tar.Reader) error {
		return eachEntry(r, func(e *tar.Header, content io.Reader) error {
			hashEntry(sum, e)
			_, err := io.Copy(sum, content)
			return err
		})
	})
	if err != nil {
		return "", fmt.Errorf("adding up files: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
