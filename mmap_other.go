//go:build !linux

package mmap

import (
	"errors"
	"math"
	"os"
)

// Systems to come. Every function that maps returns errors.ErrUnsupported.

const (
	openFlags = 0
	maxSpace  = math.MaxInt>>(16*is64) - 1<<21 + 1
)

type fileID struct{}

type handle int

func control(*os.File, func(handle) error) error { return errors.ErrUnsupported }
func (handle) size() (int64, error)              { return 0, errors.ErrUnsupported }
func (handle) truncate(int64) error              { return errors.ErrUnsupported }
func (handle) sync() error                       { return errors.ErrUnsupported }
func (handle) close() error                      { return errors.ErrUnsupported }
func (handle) allocate(off, n int64) error       { return errors.ErrUnsupported }
func (handle) startWriteback(off, n int64) error { return errors.ErrUnsupported }
func (handle) syncFileSystem() error             { return errors.ErrUnsupported }
func (handle) checkAccess(Mode) error            { return errors.ErrUnsupported }

func identify(os.FileInfo) fileID { return fileID{} }

func isBadAddress(error) bool { return false }
func isNoMemory(error) bool   { return false }

func duplicate(*os.File) (handle, error)   { return 0, errors.ErrUnsupported }
func syncDirectory(*os.File) error         { return errors.ErrUnsupported }
func filePageSize(*os.File) (int64, error) { return 0, errors.ErrUnsupported }
func adviseHuge(*mapping) error            { return errors.ErrUnsupported }
func populatePages([]byte, bool) error     { return errors.ErrUnsupported }
func syncPages([]byte) error               { return errors.ErrUnsupported }
func lockPages([]byte) error               { return errors.ErrUnsupported }

func (Config) checkFlags(string, kind) error { return nil }

func (m *mapping) private() bool                  { return false }
func (m *mapping) mapPages(*os.File, int64) error { return errors.ErrUnsupported }
func (m *mapping) commit(int64) error             { return errors.ErrUnsupported }
func (m *mapping) fence(int64) error              { return errors.ErrUnsupported }
func (m *mapping) decommit(int64) error           { return errors.ErrUnsupported }
func (m *mapping) bury() error                    { return errors.ErrUnsupported }
func (m *mapping) unmap() error                   { return errors.ErrUnsupported }
func (m *mapping) protect(Mode) error             { return errors.ErrUnsupported }
