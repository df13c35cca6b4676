package bench

import "io"

func WriteHTML(w io.Writer, results []*Result) error { return nil }
