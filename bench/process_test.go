package bench

import (
	"os"
	"testing"
	"time"
)

func TestOwnCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own, sum := ownCPUTime(), 0
	for i := range 1 << 20 {
		sum += i
	}
	after, err := cpuTime(os.Getpid())
	if err != nil || before > own || own > after || sum == 0 {
		t.Errorf("CPU time %v, then %v, then %v, %v", before, own, after, err)
	}
}

func TestMachineTime(t *testing.T) {
	worked, stolen := parseMachineTime("cpu  1 2 4 1000 2000 8 16 32 64 128")
	if worked != 310*time.Millisecond || stolen != 320*time.Millisecond {
		t.Errorf("worked %v, stolen %v, want 310ms, 320ms", worked, stolen)
	}
	if worked, stolen := parseMachineTime("nonsense"); worked != 0 || stolen != 0 {
		t.Errorf("nonsense gives %v, %v", worked, stolen)
	}
}
