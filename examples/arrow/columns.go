package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/arrio"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/seed-498deeca/mmap"
)

var kinds = map[string]arrow.DataType{
	".int64":   arrow.PrimitiveTypes.Int64,
	".float64": arrow.PrimitiveTypes.Float64,
}

// openColumns maps each file NAME.int64 and NAME.float64 of a folder, and returns them
// as the columns of one record batch. Nothing is copied. The files stay mapped until the
// last reference to the batch, and to all that was made of it, is released.
func openColumns(folder string) (arrow.RecordBatch, error) {
	if endian.IsBigEndian {
		return nil, fmt.Errorf("%w: the files are little-endian, and arrow-go takes numbers as this machine has them", errors.ErrUnsupported)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var fields []arrow.Field
	var columns []arrow.Array
	defer func() {
		for _, c := range columns {
			c.Release() // the batch has references of its own
		}
	}()
	for _, e := range entries {
		kind, ok := kinds[filepath.Ext(e.Name())]
		if !ok {
			continue
		}
		c, err := openColumn(filepath.Join(folder, e.Name()), kind)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
		name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		fields = append(fields, arrow.Field{Name: name, Type: kind})
		if c.Len() != columns[0].Len() {
			return nil, fmt.Errorf("%s: column %s has %d rows, and column %s has %d",
				folder, name, c.Len(), fields[0].Name, columns[0].Len())
		}
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("%s has no file NAME.int64 or NAME.float64", folder)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(columns[0].Len())), nil
}

// openColumn maps a file of numbers as an array.
func openColumn(name string, kind arrow.DataType) (arrow.Array, error) {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return nil, err
	}
	numbers, err := mmap.ViewOf[int64](r, 0, mmap.ToEnd) // is it whole numbers of 64 bits?
	if err != nil {
		r.Close()
		return nil, err
	}
	buffer := memory.NewBufferWithAllocator(r.Bytes(), closer{r})
	defer buffer.Release()
	data := array.NewData(kind, numbers.Len(), []*memory.Buffer{nil, buffer}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// A closer is what arrow calls when the last reference to a mapped buffer is released.
// The region must not be closed before: a buffer is raw memory, which keeps nothing
// open. Arrow allocates from it only to change the size of the buffer, and nobody does.
type closer struct{ region *mmap.Region }

func (closer) Allocate(int) []byte           { panic("the size of a mapped column is fixed") }
func (closer) Reallocate(int, []byte) []byte { panic("the size of a mapped column is fixed") }
func (c closer) Free([]byte)                 { c.region.Close() } // read-only: no error says that something is lost

// send writes a batch in pieces that are small enough for a message.
//
// Somebody may truncate a file meanwhile. Guard turns the fault into an error on this
// goroutine, and on no other. That is enough here. A file is written by system calls,
// which do not fault. And the writer of Flight copies each piece into its message
// before it hands that to gRPC, whose goroutines never see the mapping. Arrow promises
// neither, but a test notices if that changes. Code that keeps records for
// other goroutines of its own has two honest ways: to copy ([mmap.View.CopyTo]), or a
// memory file that nobody can truncate ([mmap.MemFile], [mmap.SealShrink]).
func send(w arrio.Writer, batch arrow.RecordBatch) error {
	err := mmap.Guard(func() error {
		rows := max(1, messageBytes/8/batch.NumCols())
		for from := int64(0); from < batch.NumRows(); from += rows {
			if err := sendRows(w, batch, from, min(from+rows, batch.NumRows())); err != nil {
				return err
			}
		}
		return nil
	})
	// Arrow recovers from panics by itself, and so from the fault, before Guard sees it.
	// Then its error does not tell the cause. And that the last page reads as zeros
	// where it was truncated, is no fault at all.
	return cmp.Or(whole(batch), err)
}

const messageBytes = 1 << 20 // of 4 MiB that gRPC allows

func sendRows(w arrio.Writer, batch arrow.RecordBatch, from, to int64) error {
	piece := batch.NewSlice(from, to)
	defer piece.Release()
	return w.Write(piece)
}

// whole says whether the files still have all bytes of a batch.
func whole(batch arrow.RecordBatch) error {
	for _, c := range batch.Columns() {
		b := c.Data().Buffers()[1].Bytes()
		r, off := mmap.RegionOf(b)
		if r == nil {
			continue // it is not mapped, or empty
		}
		if err := r.SyncRange(off, len(b)); err != nil { // is it all there?
			return err
		}
	}
	return nil
}
