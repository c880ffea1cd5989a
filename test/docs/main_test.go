package docs

import (
	"os"
	"testing"

	"tandem/internal/testkit/realkafka"
)

func TestMain(m *testing.M) { os.Exit(realkafka.Main(m)) }
