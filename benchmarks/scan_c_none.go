//go:build !(cgo && unix)

package main

func scansInC(s *session, name string, buffer int) []scanWay {
	s.skip("scans in C: compiled without cgo, or not on a Unix")
	return nil
}
