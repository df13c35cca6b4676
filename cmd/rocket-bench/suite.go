package main

import (
	"context"
	"io"
)

func runStandard(ctx context.Context, args []string, out, errs io.Writer) (bool, error) { return true, nil }
func runCompare(ctx context.Context, args []string, out, errs io.Writer) (bool, error)  { return true, nil }
func runReport(args []string, out, errs io.Writer) error                                { return nil }
