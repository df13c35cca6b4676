package faults

import "testing"

func TestParseSockets(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 17994037 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000012 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:1F90 01 00000004:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   4: 0100007F:1F90 0100007F:C352 04 00000005:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:C351 01 00000005:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
`
	all := parseSockets(table)
	if len(all) != 4 || all[0] != (socket{state: established, port: 8080, other: 50000, unread: 18}) {
		t.Errorf("got %+v", all)
	}
	if n := all.abandoned(8080); n != 1 {
		t.Errorf("%d are abandoned, want 1", n)
	}
	found := map[int]bool{}
	all.unread(8080, found)
	if len(found) != 1 || !found[50000] {
		t.Errorf("something waits from the ports %v, want 50000", found)
	}
}
