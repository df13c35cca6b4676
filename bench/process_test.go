package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// A server that does not raise its limit of open files by itself gets all that it may have.
func TestAllowFiles(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	var lim unix.Rlimit
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 128}, nil); err != nil {
		t.Fatal(err)
	}
	allowFiles(cmd.Process.Pid)
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &lim); err != nil || lim.Cur != 128 {
		t.Errorf("limit %+v, %v, want all of 128", lim, err)
	}
}
