package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/arrio"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/seed-498deeca/mmap"
)

// writeFile writes a batch as an Arrow file. The system copies the mapped bytes into
// the file itself. If that fails, no file is left.
func writeFile(name string, batch arrow.RecordBatch) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(name)
		}
	}()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(batch.Schema()))
	if err != nil {
		return err
	}
	err = send(w, batch)
	return errors.Join(err, w.Close()) // the end of the file
}

// checkFile maps an Arrow file, and compares it with a batch. Nothing is copied here
// either: the records point into the mapping.
func checkFile(name string, want arrow.RecordBatch) error {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return err
	}
	defer r.Close() // after reader and records
	return mmap.Guard(func() error {
		reader, err := ipc.NewMappedFileReader(r.Bytes())
		if err != nil {
			return err
		}
		defer reader.Close()
		return same(reader, want)
	})
}

// same says whether a reader has the rows of a batch, in whatever pieces.
func same(reader arrio.Reader, want arrow.RecordBatch) error {
	at := int64(0)
	for {
		got, err := reader.Read()
		if errors.Is(err, io.EOF) && at == want.NumRows() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after row %d of %d: %w", at, want.NumRows(), err)
		}
		if got.NumRows() > want.NumRows()-at {
			return fmt.Errorf("there are more than %d rows", want.NumRows())
		}
		part := want.NewSlice(at, at+got.NumRows())
		equal := array.RecordEqual(part, got)
		part.Release()
		if !equal {
			return fmt.Errorf("rows %d to %d are not what was sent", at, at+got.NumRows())
		}
		at += got.NumRows()
	}
}
