package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A disk may keep what is written to it in a cache. It loses the cache with the power:
// after that it has all that was written before the last flush, and any part of
// what came later.
//
// Qemu's block driver blklogwrites lists what a machine does with its disk: first
// a sector about the list itself, then for each write, flush and discard a sector
// that tells what it is, with the data of a write after it.

// logSector is the size of a sector in the list and of what the list counts in.
const logSector = 512

// The flags of an entry.
const (
	logFlush   = 1 << iota // what was written before is on the disk
	logFUA                 // this write is on the disk
	logDiscard             // the sectors have no contents any more; no data follows
	logMark                // a remark
	logAll     = 1<<iota - 1
)

const logMagic = 0x6a736677736872

// A logEntry is a write, a flush or a discard.
type logEntry struct {
	sector, sectors uint64 // on the disk
	flags           uint64
	data            int64 // where they are in the list
}

func (e logEntry) is(flag uint64) bool { return e.flags&flag != 0 }

// changes says whether it changes what the disk has.
func (e logEntry) changes() bool { return e.sectors > 0 && !e.is(logMark) }

// readLog reads the list, as far as it was written when qemu was killed. An entry
// that was only begun is left out: the machine was never told that it is done.
func readLog(r io.ReaderAt, size int64) (entries []logEntry, err error) {
	var sector [logSector]byte
	read := func(at int64) error {
		_, err := r.ReadAt(sector[:], at)
		return err
	}
	if size < logSector {
		return nil, nil // nothing was done
	}
	if err := read(0); err != nil {
		return nil, err
	}
	// The first sector is written with the first flush.
	if magic := binary.LittleEndian.Uint64(sector[:]); magic != 0 && magic != logMagic {
		return nil, fmt.Errorf("no list of writes: it begins with %#x", magic)
	}
	if n := binary.LittleEndian.Uint32(sector[24:]); n != 0 && n != logSector {
		return nil, fmt.Errorf("the list of writes has sectors of %d bytes, want %d", n, logSector)
	}
	for at := int64(logSector); at+logSector <= size; {
		if err := read(at); err != nil {
			return nil, err
		}
		at += logSector
		if sector == [logSector]byte{} {
			// The place of an entry that was not written yet when later ones were.
			continue
		}
		e := logEntry{
			sector: binary.LittleEndian.Uint64(sector[:]), sectors: binary.LittleEndian.Uint64(sector[8:]),
			flags: binary.LittleEndian.Uint64(sector[16:]), data: at,
		}
		if e.flags&^logAll != 0 || e.sectors > 1<<40 || e.sector > 1<<40 {
			return nil, fmt.Errorf("no entry at %d of the list of writes: sector %d, %d sectors, flags %#x", at-logSector, e.sector, e.sectors, e.flags)
		}
		if !e.is(logDiscard) {
			at += int64(e.sectors) * logSector
		}
		if at <= size {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// survivors returns what a disk still has of the entries after a loss of power. Of
// those that no flush and no FUA protects, keep chooses.
func survivors(entries []logEntry, keep func() bool) (kept []logEntry) {
	flushed := len(entries) // the first after the last flush
	for flushed > 0 && !entries[flushed-1].is(logFlush) {
		flushed--
	}
	if flushed > 0 && entries[flushed-1].changes() {
		flushed-- // a write with a flush comes after the flush
	}
	for i, e := range entries {
		if e.changes() && (i < flushed || e.is(logFUA) || keep()) {
			kept = append(kept, e)
		}
	}
	return kept
}

// An image is the contents of a disk.
type image interface {
	io.WriterAt
	io.Seeker
}

// replay does to the image what the entries of the list tell.
func replay(img image, list io.ReaderAt, entries []logEntry) error {
	size, err := img.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at, n := int64(e.sector)*logSector, int64(e.sectors)*logSector
		if at+n > size {
			return fmt.Errorf("%d bytes at %d are beyond the disk of %d bytes", n, at, size)
		}
		var from io.Reader = io.NewSectionReader(list, e.data, n)
		if e.is(logDiscard) {
			from = bytes.NewReader(make([]byte, n))
		}
		if done, err := io.Copy(io.NewOffsetWriter(img, at), from); err != nil || done != n {
			return fmt.Errorf("%d of %d bytes at %d of the disk: %w", done, n, at, errors.Join(err, io.ErrShortWrite))
		}
	}
	return nil
}
