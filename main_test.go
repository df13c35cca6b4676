package webrocket_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	const ants = "github.com/panjf2000/ants/v2."
	goleak.VerifyTestMain(
		m,
		// gnet has a pool of workers for the whole process.
		goleak.IgnoreAnyFunction(ants+"(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction(ants+"(*poolCommon).ticktock"),
		goleak.IgnoreAnyFunction(ants+"(*goWorker).run.func1"),
	)
}
