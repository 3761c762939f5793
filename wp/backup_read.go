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
	"maps"
	"strings"
)

// BackupReader reads a backup stream once, from its beginning to its end.
type BackupReader struct {
	manifest BackupManifest
	tar      *tar.Reader
	rest     io.Reader // the stream below the tar
	size     int64     // of the stream, as far as it was read
	closer   io.Closer
}

// BackupTarget takes the parts of a backup. Each function gets one whole stream and is called
// at most once; nil: the part is passed over, and checked all the same.
type BackupTarget struct {
	// Database gets the dump, as SQL.
	Database func(io.Reader) error
	// Files gets a tar whose names are relative to the docroot (see Host.ExtractFiles).
	Files func(io.Reader) error
	// Config, unless nil, gets the wp-config.php that lies in the docroot; Files then does not.
	Config func([]byte) error
	// Above gets the wp-config.php that lies above the docroot.
	Above func([]byte) error
}

// maxDescription is the most that backup.json and summary.json may have, in bytes.
const maxDescription = 4 << 20

// NewBackupReader reads the manifest of a stream.
func NewBackupReader(r io.Reader) (*BackupReader, error) {
	b := new(BackupReader)
	buffered := bufio.NewReaderSize(&sizedReader{from: r, n: &b.size}, streamBuffer)
	b.tar, b.rest = tar.NewReader(buffered), buffered
	h, err := b.tar.Next()
	if err != nil {
		return nil, fmt.Errorf("opening backup: %w", damaged(err))
	}
	if h.Name != entryManifest {
		return nil, fmt.Errorf("opening backup: %w: it does not begin with %s", ErrBackupDamaged, entryManifest)
	}
	if err := b.decode(&b.manifest); err != nil {
		return nil, fmt.Errorf("reading %s: %w", entryManifest, err)
	}
	if b.manifest.Format != BackupFormat {
		return nil, fmt.Errorf("opening backup: format %d is not known to this version", b.manifest.Format)
	}
	return b, nil
}

// damaged says that a stream is not what it should be, unless it could not be read at all.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	return err
}

func (b *BackupReader) decode(v any) error {
	data, err := io.ReadAll(io.LimitReader(b.tar, maxDescription))
	if err != nil {
		return damaged(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	return nil
}

// Manifest tells what the backup is of.
func (b *BackupReader) Manifest() BackupManifest { return b.manifest }

// Size is the length of the stream in bytes, once Unpack has read all of it.
func (b *BackupReader) Size() int64 { return b.size }

// sizedReader counts what it reads.
type sizedReader struct {
	from io.Reader
	n    *int64
}

func (r *sizedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	*r.n += int64(n)
	return n, err
}

// Close ends the reading.
func (b *BackupReader) Close() error {
	if b.closer == nil {
		return nil
	}
	return b.closer.Close()
}

// Unpack gives the parts of the backup to their functions. Only when it has returned without
// error it is certain that they got what was once stored: errors.Is ErrBackupDamaged. A
// function may leave the rest of its part unread.
func (b *BackupReader) Unpack(ctx context.Context, to BackupTarget) (BackupSummary, error) {
	u := &unpacking{BackupReader: b, to: to, dump: sha256.New(), files: sha256.New()}
	err := u.run(ctx)
	if u.part != nil {
		if ended := u.part.end(err); err == nil {
			err = ended
		}
	}
	if err != nil {
		return BackupSummary{}, fmt.Errorf("unpacking backup: %w", err)
	}
	return u.stored, nil
}

// unpacking is one Unpack.
type unpacking struct {
	*BackupReader
	to          BackupTarget
	part        *partFeed // of the part that is being read
	kind        string
	dump, files hash.Hash
	got, stored BackupSummary
}

func (u *unpacking) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := u.tar.Next()
		if err != nil { // also the end: it comes behind the summary
			return damaged(err)
		}
		switch {
		case strings.HasPrefix(h.Name, entryDatabase):
			err = u.database(h)
		case strings.HasPrefix(h.Name, entryFiles):
			err = u.file(h)
		case h.Name == entryAbove:
			err = u.above()
		case h.Name == entrySummary:
			return u.finish()
		default:
			err = fmt.Errorf("%w: unknown entry %q", ErrBackupDamaged, h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// turn ends the part before, if there is one, and begins another.
func (u *unpacking) turn(kind string, fn func(io.Reader) error) error {
	if u.kind == kind {
		return nil
	}
	if u.part != nil {
		err := u.part.end(nil)
		u.part = nil
		if err != nil {
			return err
		}
	}
	u.kind = kind
	if fn != nil {
		u.part = newPartFeed(fn)
	}
	return nil
}

// feed is where the bytes of the part go.
func (u *unpacking) feed() io.Writer {
	if u.part == nil {
		return io.Discard
	}
	return u.part
}

func (u *unpacking) database(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || h.Size > dumpPart {
		return fmt.Errorf("%w: entry %q", ErrBackupDamaged, h.Name)
	}
	if err := u.turn(entryDatabase, u.to.Database); err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(u.dump, u.feed()), u.tar)
	u.got.DumpBytes += n
	return damaged(err)
}

func (u *unpacking) file(raw *tar.Header) error {
	if err := u.turn(entryFiles, u.to.Files); err != nil {
		return err
	}
	raw.Name = strings.TrimPrefix(raw.Name, entryFiles)
	e, ok := cleanEntry(raw)
	if !ok {
		return fmt.Errorf("%w: entry %q", ErrBackupDamaged, raw.Name)
	}
	u.got.count(e)
	hashEntry(u.files, e)
	content := io.TeeReader(u.tar, u.files)
	if u.to.Config != nil && e.Name == configName && e.Typeflag == tar.TypeReg {
		return u.config(content)
	}
	if u.part == nil {
		_, err := io.Copy(io.Discard, content)
		return damaged(err)
	}
	return damaged(writeEntry(u.part.entries(), e, content))
}

func (u *unpacking) config(content io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(content, MaxConfigSize))
	if err != nil {
		return damaged(err)
	}
	if _, err := io.Copy(io.Discard, content); err != nil { // what is larger is none
		return damaged(err)
	}
	return u.to.Config(data)
}

func (u *unpacking) above() error {
	if err := u.turn(entryAbove, nil); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(u.tar, MaxConfigSize+1))
	if err != nil {
		return damaged(err)
	}
	u.got.AboveSum = sumOf(Text{Data: data, Exists: true})
	if u.to.Above == nil {
		return nil
	}
	return u.to.Above(data)
}

// finish compares what was read with what was written once.
func (u *unpacking) finish() error {
	if err := u.turn(entrySummary, nil); err != nil {
		return err
	}
	if err := u.decode(&u.stored); err != nil {
		return fmt.Errorf("reading %s: %w", entrySummary, err)
	}
	if u.stored.DatabaseSum != "" {
		u.got.DatabaseSum = hex.EncodeToString(u.dump.Sum(nil))
	}
	if u.stored.FilesSum != "" {
		u.got.FilesSum = hex.EncodeToString(u.files.Sum(nil))
	}
	got := u.got
	got.Tables, got.Skipped, got.Changed = u.stored.Tables, u.stored.Skipped, u.stored.Changed
	if !same(got, u.stored) {
		return fmt.Errorf("%w: its content is not what its summary says", ErrBackupDamaged)
	}
	if _, err := u.tar.Next(); err != io.EOF {
		return fmt.Errorf("%w: something stands behind its summary", ErrBackupDamaged)
	}
	// To the end of the stream: only there a store says that it could read all of it.
	if _, err := io.Copy(io.Discard, u.rest); err != nil {
		return err
	}
	return nil
}

func same(a, b BackupSummary) bool {
	return a.Files == b.Files && a.Directories == b.Directories && a.Links == b.Links &&
		a.FileBytes == b.FileBytes && a.DumpBytes == b.DumpBytes && maps.Equal(a.Tables, b.Tables) &&
		a.DatabaseSum == b.DatabaseSum && a.FilesSum == b.FilesSum && a.AboveSum == b.AboveSum
}

// partFeed pushes the bytes of one part to the function that reads them.
type partFeed struct {
	w    *io.PipeWriter
	tar  *tar.Writer // for files
	done chan error
	left bool // the function has returned without error and wants no more
}

func newPartFeed(fn func(io.Reader) error) *partFeed {
	r, w := io.Pipe()
	p := &partFeed{w: w, done: make(chan error, 1)}
	go func() {
		err := fn(r)
		if err == nil {
			err = errEnough
		}
		r.CloseWithError(err)
		p.done <- err
	}()
	return p
}

// errEnough ends the pushing without being an error of the part.
var errEnough = errors.New("the reader has enough")

func (p *partFeed) Write(data []byte) (int, error) {
	if p.left {
		return len(data), nil
	}
	_, err := p.w.Write(data)
	if errors.Is(err, errEnough) {
		p.left, err = true, nil
	}
	if err != nil {
		return 0, err
	}
	return len(data), nil
}

func (p *partFeed) entries() *tar.Writer {
	if p.tar == nil {
		p.tar = tar.NewWriter(p)
	}
	return p.tar
}

// end closes the part, broken off when err is not nil, and waits for its function.
func (p *partFeed) end(err error) error {
	if err == nil && p.tar != nil {
		err = p.tar.Close()
	}
	p.w.CloseWithError(err)
	if got := <-p.done; !errors.Is(got, errEnough) {
		return got
	}
	return err
}
