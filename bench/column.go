package bench

import "context"

// plainColumn is the name of the column without TLS.
const plainColumn = "plain"

// TLSColumns runs a scenario without and with TLS, each time against a server of its own: results that make two columns
// of a table. It ends with the first run that fails; the results so far are there even then.
func TLSColumns(ctx context.Context, sc *Scenario, opts Options, watch func(column string, p Progress)) ([]*Result, error) {
	var results []*Result
	for _, secure := range []bool{false, true} {
		opts.TLS = secure
		column := plainColumn
		if secure {
			column = "TLS"
		}
		res, err := Run(ctx, sc.withFirstFloor(), opts, func(p Progress) { watch(column, p) })
		if res != nil {
			res.Column = column
			results = append(results, res)
		}
		if err != nil || ctx.Err() != nil {
			return results, err
		}
	}
	return results, nil
}

// withFirstFloor measures of the floor just the parts that the result is compared to: the first, and that through io_uring.
func (sc *Scenario) withFirstFloor() *Scenario {
	brief := *sc
	if whole := sc.floor; whole != nil {
		brief.floor = func(o *Options) []FloorSpec { return whole(o)[:2] }
	}
	return &brief
}
