package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/seed-498deeca/mmap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const ticket = "columns" // all that there is to get

// A service is what Arrow Flight calls. The batch outlives it: see serve.
type service struct {
	flight.BaseFlightServer
	batch arrow.RecordBatch
}

func (s *service) GetFlightInfo(_ context.Context, what *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return &flight.FlightInfo{
		Schema:           flight.SerializeSchema(s.batch.Schema(), memory.DefaultAllocator),
		FlightDescriptor: what,
		Endpoint:         []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: []byte(ticket)}}},
		TotalRecords:     s.batch.NumRows(),
		TotalBytes:       -1, // unknown
	}, nil
}

func (s *service) DoGet(what *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	if string(what.GetTicket()) != ticket {
		return status.Errorf(codes.NotFound, "there is %q, and not %q", ticket, what.GetTicket())
	}
	w := flight.NewRecordWriter(stream, ipc.WithSchema(s.batch.Schema()))
	err := errors.Join(send(w, s.batch), w.Close())
	if errors.Is(err, mmap.ErrTruncated) {
		return status.Error(codes.DataLoss, err.Error())
	}
	return err
}

// serve begins to serve a batch, and returns the address. The caller releases its own
// reference whenever it likes. stop waits for the calls that are there, and releases
// that of the server: a region is not closed beneath a call.
func serve(address string, batch arrow.RecordBatch) (where string, stop func() error, err error) {
	s := flight.NewServerWithMiddleware(nil)
	if err := s.Init(address); err != nil {
		return "", nil, err
	}
	batch.Retain()
	s.RegisterFlightService(&service{batch: batch})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	return s.Addr().String(), func() error {
		s.Shutdown()
		defer batch.Release()
		return <-ended
	}, nil
}

// checkServer gets the columns as a client on another machine does, and compares them
// with a batch.
func checkServer(ctx context.Context, address string, want arrow.RecordBatch) error {
	c, err := flight.NewClientWithMiddleware(address, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{ticket}})
	if err != nil {
		return err
	}
	if len(info.Endpoint) != 1 {
		return fmt.Errorf("the server has the columns at %d places", len(info.Endpoint))
	}
	stream, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return err
	}
	reader, err := flight.NewRecordReader(stream)
	if err != nil {
		return err
	}
	defer reader.Release()
	return mmap.Guard(func() error { return same(reader, want) })
}
