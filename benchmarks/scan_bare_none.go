//go:build !unix

package main

func scansBare(name string) []scanWay { return nil }
