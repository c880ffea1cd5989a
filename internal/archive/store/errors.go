package store

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"syscall"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"google.golang.org/api/googleapi"
)

// Kind is what an error asks for.
type Kind int8

// The kinds of errors.
const (
	Other        Kind = iota // none of the following: a person has to read it
	NotFound                 // the store says that it has no such object
	Conflict                 // an object of that name is there, with other bytes
	Retained                 // a lock holds the object: Error.Until says for how long
	AccessDenied             // no credentials, wrong ones, or ones without the right
	Settings                 // no such bucket, wrong region, a feature that the store lacks: change a setting
	Full                     // no space, or no quota
	Short                    // the object ends before the asked range does
	Throttled                // too many requests: passes, slowly
	Transient                // connection, timeout, 5xx: passes
	Canceled                 // we stopped it ourselves
)

func (k Kind) String() string {
	return [...]string{"other", "not found", "conflict", "retained", "access denied", "settings", "full", "short", "throttled",
		"transient", "canceled"}[k]
}

// Error is what every operation of a Store fails with.
type Error struct {
	Op    string // put, get, list, stat, delete, open
	Name  string // the object's name, or the prefix listed
	Kind  Kind
	Until time.Time // of Retained; zero under a legal hold, or where the store does not tell
	Err   error
}

func (e *Error) Error() string {
	text := e.Op
	if e.Name != "" {
		text += " " + e.Name
	}
	text += ": "
	if e.Kind == Retained && !e.Until.IsZero() {
		text += "retained until " + e.Until.UTC().Format(time.RFC3339) + ": "
	}
	return text + secrets.ReplaceAllString(e.Err.Error(), "$1=...")
}

func (e *Error) Unwrap() error { return e.Err }

// secrets finds what signs a URL: Go puts the URL of a request that failed into the error.
var secrets = regexp.MustCompile(`(?i)\b(sig|signature|x-amz-[a-z-]+|x-goog-[a-z-]+|[a-z_-]*token|[a-z_-]*secret[a-z_-]*)=[^&\s"]+`)

var (
	errExists    = errors.New("an object of that name is there")
	errMissing   = errors.New("no such object")
	errStalled   = errors.New("no byte moved for too long")
	errShort     = errors.New("the object ends before the asked range")
	errChanged   = errors.New("the object's size changed while it was read")
	errHeld      = errors.New("a lock holds the object")
	errUnsettled = errors.New("the store has not settled")
	errForeign   = errors.New("this is no answer of S3: something stands before the store")
	errBody      = errors.New("the body ends before its size")
	errNoRoot    = errors.New("no such folder (is it mounted?)")
)

// Classify says what err asks for.
func Classify(err error) Kind {
	var own *Error
	var tooYoung x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return Other
	case errors.As(err, &own):
		return own.Kind // decided where more was known
	case errors.Is(err, errMissing):
		return NotFound // a backend looked: see its absent
	case errors.Is(err, errExists):
		return Conflict
	case errors.Is(err, errHeld):
		return Retained
	case errors.Is(err, errShort):
		return Short
	case errors.Is(err, errStalled), errors.Is(err, errUnsettled), errors.Is(err, errForeign):
		return Transient // before Canceled: a stall is ended by canceling the try
	case errors.Is(err, errNoRoot):
		return Settings
	case errors.As(err, &tooYoung), errors.As(err, &wrongName), errors.As(err, &invalid):
		return Settings // the endpoint is not who it should be: another try changes nothing
	case isCredentials(err):
		return AccessDenied // nobody to sign as, whatever the network said meanwhile
	}
	if kind, ok := classifyAnswer(err); ok {
		return kind // what the store said outweighs how the connection ended after it
	}
	return classifyWire(err)
}

// classifyAnswer reads what a store answered: its error code where it has one, the status otherwise.
func classifyAnswer(err error) (Kind, bool) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if kind, ok := codes[api.ErrorCode()]; ok {
			return kind, true
		}
	}
	if azure, ok := errors.AsType[*azcore.ResponseError](err); ok {
		if kind, ok := codes[azure.ErrorCode]; ok {
			return kind, true
		}
		return classifyStatus(azure.StatusCode), true
	}
	if errors.Is(err, storage.ErrBucketNotExist) {
		return Settings, true
	}
	if google, ok := errors.AsType[*googleapi.Error](err); ok {
		for _, item := range google.Errors {
			if kind, ok := codes[item.Reason]; ok {
				return kind, true
			}
		}
		return classifyStatus(google.Code), true
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.HTTPStatusCode() >= 300 {
		if classifyWire(err) == Transient {
			return Transient, true // the answer broke off before it said what is wrong
		}
		return classifyStatus(response.HTTPStatusCode()), true
	}
	return Other, false
}

// classifyStatus is for answers without a code that we know. A 404 is not NotFound: a proxy's page has that status too.
func classifyStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return AccessDenied
	case http.StatusPreconditionFailed:
		return Conflict
	case http.StatusRequestedRangeNotSatisfiable:
		return Short
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusInsufficientStorage:
		return Full
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusNotImplemented:
		return Settings // another region, another endpoint, a feature that is not there
	case http.StatusRequestTimeout, http.StatusConflict:
		return Transient // 409: another request for the same object is under way
	}
	if status >= 500 {
		return Transient
	}
	return Other
}

// codes are the error codes of S3 and of its imitators, of Azure and of Google.
var codes = map[string]Kind{
	"NoSuchKey":    NotFound, // of a body; HEAD has none, see s3Bucket.absent
	"BlobNotFound": NotFound,

	"PreconditionFailed": Conflict,
	"BlobAlreadyExists":  Conflict,
	"ConditionNotMet":    Conflict,
	"conditionNotMet":    Conflict,

	"ObjectLocked":             Retained,
	"BlobImmutableDueToPolicy": Retained,
	"retentionPolicyNotMet":    Retained,
	"objectUnderActiveHold":    Retained,

	"AccessDenied":          AccessDenied,
	"AllAccessDisabled":     AccessDenied,
	"AccountProblem":        AccessDenied,
	"Forbidden":             AccessDenied,
	"InvalidAccessKeyId":    AccessDenied,
	"SignatureDoesNotMatch": AccessDenied,
	"ExpiredToken":          AccessDenied, // the SDK has renewed what it could
	"InvalidToken":          AccessDenied,
	"RequestTimeTooSkewed":  AccessDenied, // our clock
	"AuthenticationFailed":  AccessDenied,
	"AuthorizationFailure":  AccessDenied,

	"NoSuchBucket":                 Settings,
	"InvalidBucketName":            Settings,
	"ContainerNotFound":            Settings,
	"ContainerBeingDeleted":        Settings,
	"PermanentRedirect":            Settings, // the bucket's region is another one
	"AuthorizationHeaderMalformed": Settings, // likewise
	"NotImplemented":               Settings, // no conditional writes, no object lock
	"InvalidRequest":               Settings, // object lock in a bucket without it
	"InvalidStorageClass":          Settings,
	"KMS.NotFoundException":        Settings,
	"KMS.DisabledException":        Settings,

	"QuotaExceeded":                  Full,
	"XMinioStorageFull":              Full,
	"XMinioAdminBucketQuotaExceeded": Full,
	"InsufficientCapacity":           Full,

	"InvalidRange": Short,

	"SlowDown":             Throttled,
	"Throttling":           Throttled,
	"ThrottlingException":  Throttled,
	"TooManyRequests":      Throttled,
	"RequestLimitExceeded": Throttled,
	"ServerBusy":           Throttled,
	"rateLimitExceeded":    Throttled,

	"InternalError":              Transient,
	"ServiceUnavailable":         Transient,
	"RequestTimeout":             Transient,
	"IncompleteBody":             Transient, // the connection broke on the way there
	"OperationAborted":           Transient,
	"ConditionalRequestConflict": Transient, // two creates at once: ask again who won
	"OperationTimedOut":          Transient,
}

// classifyWire is for what never became an answer: connections, names, and the local disk.
func classifyWire(err error) Kind {
	var timeout net.Error
	var connection *net.OpError
	var name *net.DNSError
	var request *url.Error
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return AccessDenied
	case errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return Transient // a network file system whose server came back
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNREFUSED):
		return Transient // the store restarts, or a balancer before it
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Transient // the connection ended within an answer, or before it
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.As(err, &connection), errors.As(err, &name), errors.As(err, &request):
		return Transient // no answer came. Names that do not resolve too: DNS fails and comes back as the rest does
	case errors.As(err, &timeout) && timeout.Timeout(): // an errno of the disk is a net.Error as well, of no timeout
		return Transient
	}
	return Other
}

// isCredentials says that the chain of credentials ended without any: the last link asks the machine's metadata service, and
// where there is none that is a failed connection.
func isCredentials(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if op, ok := err.(*smithy.OperationError); ok && op.Service() == "ec2imds" { //nolint:errorlint // each link by itself
			return true
		}
	}
	return false
}
