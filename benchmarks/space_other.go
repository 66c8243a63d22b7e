//go:build !linux

package main

func addressSpace() int { return 0 }
