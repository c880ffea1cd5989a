package stream

import (
	"cmp"
	"fmt"
	"strings"
)

// ACL is one binding of a cluster's authorizer, in the numbers of Kafka's protocol.
type ACL struct {
	ResourceType int8 // 2 topic, 3 group, 4 cluster, 5 transactional id, ...
	PatternType  int8 // 3 literal, 4 prefixed
	Resource     string
	Principal    string
	Host         string
	Operation    int8
	Permission   int8 // 2 deny, 3 allow
}

// The numbers that are decided by. Those below 2, and the pattern types below 3, are not of bindings but of requests that look
// for several at once.
const (
	ResourceTopic           int8 = 2
	ResourceGroup           int8 = 3
	ResourceTransactionalID int8 = 5

	PatternLiteral  int8 = 3
	PatternPrefixed int8 = 4

	OperationAll   int8 = 2
	OperationRead  int8 = 3
	OperationWrite int8 = 4

	PermissionDeny  int8 = 2
	PermissionAllow int8 = 3
)

// AnyResource is the name that stands for every resource of its type, where the pattern is literal.
const AnyResource = "*"

var (
	resourceTypes = map[int8]string{2: "TOPIC", 3: "GROUP", 4: "CLUSTER", 5: "TRANSACTIONAL_ID", 6: "DELEGATION_TOKEN", 7: "USER"}
	patternTypes  = map[int8]string{3: "LITERAL", 4: "PREFIXED"}
	permissions   = map[int8]string{2: "DENY", 3: "ALLOW"}
	operations    = map[int8]string{2: "ALL", 3: "READ", 4: "WRITE", 5: "CREATE", 6: "DELETE", 7: "ALTER", 8: "DESCRIBE", 9: "CLUSTER_ACTION",
		10: "DESCRIBE_CONFIGS", 11: "ALTER_CONFIGS", 12: "IDEMPOTENT_WRITE", 13: "CREATE_TOKENS", 14: "DESCRIBE_TOKENS",
		15: "TWO_PHASE_COMMIT"}
)

func word(words map[int8]string, number int8) string {
	if w, ok := words[number]; ok {
		return w
	}
	return fmt.Sprintf("UNKNOWN(%d)", number)
}

// Words are the binding's numbers in Kafka's words, as kafka-acls prints them.
func (a ACL) Words() (resourceType, patternType, operation, permission string) {
	return word(resourceTypes, a.ResourceType), word(patternTypes, a.PatternType), word(operations, a.Operation), word(permissions, a.Permission)
}

// String writes a binding in one line: "ALLOW READ on TOPIC orders (LITERAL) for User:alice from *".
func (a ACL) String() string {
	resource, pattern, operation, permission := a.Words()
	return fmt.Sprintf("%s %s on %s %s (%s) for %s from %s", permission, operation, resource, a.Resource, pattern, a.Principal, a.Host)
}

// Compare orders bindings by resource, and those of one resource by whom they concern.
func (a ACL) Compare(b ACL) int {
	return cmp.Or(
		cmp.Compare(a.ResourceType, b.ResourceType), cmp.Compare(a.PatternType, b.PatternType), strings.Compare(a.Resource, b.Resource),
		strings.Compare(a.Principal, b.Principal), strings.Compare(a.Host, b.Host),
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Permission, b.Permission),
	)
}
