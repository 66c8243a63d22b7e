// Arrow hands mapped columns of numbers to Apache Arrow without copying them. It writes
// them as an Arrow file, or serves them by Arrow Flight. So they can leave the machine,
// for engines that run on many machines. The program is a module of its own, so go
// there first: cd examples/arrow
//
//	go run .                                           # makes columns, does both, reads all back, compares
//	go run . -folder columns -file columns.arrow       # writes an Arrow file
//	go run . -folder columns -serve 127.0.0.1:8815     # serves until it is interrupted
//
// A column is a file NAME.int64 or NAME.float64: numbers one after the other, least
// significant byte first, as Arrow has them. On a big-endian machine, such as s390x, the
// numbers would have to be copied, so there the program refuses to run. A client in
// Python:
//
//	import pyarrow.flight as flight
//	flight.connect("grpc://127.0.0.1:8815").do_get(flight.Ticket(b"columns")).read_all()
//
// The server does not ask its clients who they are. Let it listen only where
// everybody may read the columns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/seed-498deeca/mmap"
)

func main() {
	folder := flag.String("folder", "", "`name` of the folder of the columns; if empty, a temporary one that is gone at the end")
	file := flag.String("file", "", "`name` of an Arrow file to make")
	address := flag.String("serve", "", "`address` to serve at, such as 127.0.0.1:8815")
	flag.Parse()
	shown := *folder == "" && *file == "" && *address == ""
	if flag.NArg() > 0 || !shown && (*folder == "" || *file == "" && *address == "") {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	var err error
	if shown {
		err = demonstrate(ctx, os.Stdout)
	} else {
		err = run(ctx, os.Stdout, *folder, *file, *address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "arrow:", err)
		os.Exit(1)
	}
}

// run does with the columns of a folder what was asked for.
func run(ctx context.Context, w io.Writer, folder, file, address string) error {
	batch, err := openColumns(folder)
	if err != nil {
		return err
	}
	defer batch.Release()
	if file != "" {
		if err := writeFile(file, batch); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %d rows of %d columns\n", file, batch.NumRows(), batch.NumCols())
	}
	if address == "" {
		return nil
	}
	where, stop, err := serve(address, batch)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "serving %d rows of %d columns at grpc://%s\n", batch.NumRows(), batch.NumCols(), where)
	<-ctx.Done()
	return stop()
}

func demonstrate(ctx context.Context, w io.Writer) (err error) {
	const rows = 1_000_000
	dir, err := os.MkdirTemp("", "mmap-arrow-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := makeColumns(dir, rows); err != nil {
		return err
	}
	batch, err := openColumns(dir)
	if err != nil {
		return err
	}
	defer batch.Release()
	show(w, batch)

	file := filepath.Join(dir, "columns.arrow")
	if err := writeFile(file, batch); err != nil {
		return err
	}
	if err := checkFile(file, batch); err != nil {
		return err
	}
	fmt.Fprintln(w, "the Arrow file, mapped in its turn, has the same rows")

	where, stop, err := serve("127.0.0.1:0", batch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := checkServer(ctx, where, batch); err != nil {
		return err
	}
	fmt.Fprintf(w, "a client of the Arrow Flight server at grpc://%s has got the same rows\n", where)
	return nil
}

// show says where in memory arrow has the columns: where the files are mapped.
func show(w io.Writer, batch arrow.RecordBatch) {
	for i, c := range batch.Columns() {
		r, off := mmap.RegionOf(c.Data().Buffers()[1].Bytes())
		fmt.Fprintf(w, "column %s: %d numbers of type %s, in place: byte %d of the mapping of %s\n",
			batch.ColumnName(i), c.Len(), c.DataType(), off, filepath.Base(r.Name()))
	}
}

// makeColumns makes two columns to show.
func makeColumns(folder string, rows int) error {
	err := makeColumn(filepath.Join(folder, "time.int64"), rows, func(i int) int64 { return 1_700_000_000 + int64(i) })
	if err != nil {
		return err
	}
	return makeColumn(filepath.Join(folder, "price.float64"), rows, func(i int) float64 {
		return 100 + 10*math.Sin(float64(i)/1000)
	})
}

func makeColumn[T int64 | float64](name string, rows int, f func(i int) T) (err error) {
	r, err := mmap.Create(name, int64(rows)*8)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	v, err := mmap.LittleEndianOf[T](r, 0, rows)
	if err != nil {
		return err
	}
	return mmap.Guard(func() error {
		for i := range rows {
			v.Set(i, f(i))
		}
		return nil
	})
}
