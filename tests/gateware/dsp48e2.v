// What the gateware uses of a DSP48E2: A, or D + A, times B, and a cascade, P, C or nothing added.
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNUSEDSIGNAL */
module DSP48E2 #(
    parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", A_INPUT = "DIRECT",
    parameter B_INPUT = "DIRECT", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
    parameter USE_PATTERN_DETECT = "NO_PATDET",
    parameter integer AREG = 1, ACASCREG = 1, DREG = 1, ADREG = 1, BREG = 1, BCASCREG = 1,
    parameter integer MREG = 1, PREG = 1, CREG = 1, OPMODEREG = 1, INMODEREG = 1, ALUMODEREG = 1,
    parameter integer CARRYINREG = 1, CARRYINSELREG = 1
) (
    input CLK,
    input [29:0] A, input [17:0] B, input [47:0] C, input [26:0] D,
    input [29:0] ACIN, input [17:0] BCIN, input [47:0] PCIN,
    input [4:0] INMODE, input [8:0] OPMODE, input [3:0] ALUMODE, input [2:0] CARRYINSEL,
    input CARRYIN, CARRYCASCIN, MULTSIGNIN,
    input CEA1, CEA2, CEB1, CEB2, CED, CEAD, CEM, CEP, CECTRL, CEC,
    input CEALUMODE, CECARRYIN, CEINMODE,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTINMODE, RSTALLCARRYIN,
    output reg [47:0] P, output [47:0] PCOUT
);
    reg signed [26:0] a1, a2, d1, ad;
    reg signed [17:0] b1, b2;
    reg signed [44:0] m1;
    reg [47:0] c1;
    reg [8:0] mode1;
    wire signed [26:0] a = AREG == 0 ? A[26:0] : a2;
    wire signed [17:0] b = BREG == 0 ? B : b2;
    wire signed [44:0] product = (AMULTSEL == "AD" ? ad : a) * b;
    wire signed [44:0] m = MREG == 0 ? product : m1;
    wire [47:0] c = CREG == 0 ? C : c1;
    wire [8:0] mode = OPMODEREG == 0 ? OPMODE : mode1;
    reg [47:0] z;
    assign PCOUT = P;
    always @*
        case (mode[6:4])
            3'b000: z = 48'd0;
            3'b001: z = PCIN;
            3'b010: z = P;
            3'b011: z = c;
            default: z = {{17{PCIN[47]}}, PCIN[47:17]};
        endcase
    always @(posedge CLK) begin
        if (CEA1) a1 <= A[26:0];
        if (CEA2) a2 <= AREG == 2 ? a1 : A[26:0];
        if (CED) d1 <= D;
        if (CEAD) ad <= d1 + a2;
        if (CEB1) b1 <= B;
        if (CEB2) b2 <= BREG == 2 ? b1 : B;
        if (CEM) m1 <= product;
        if (CEC) c1 <= C;
        if (CECTRL) mode1 <= OPMODE;
        if (CEP) P <= {{3{m[44]}}, m} + z;
    end
    initial
        if ((AMULTSEL == "AD" ? AREG != 1 || DREG != 1 || ADREG != 1 : AMULTSEL != "A")
            || BMULTSEL != "B" || PREADDINSEL != "A" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT"
            || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || PREG != 1
            || INMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0) begin
            $display("DSP48E2: a mode without a model");
            $finish;
        end
    always @(posedge CLK)
        if (INMODE != (AMULTSEL == "AD" ? 5'b00100 : 5'b00000) || ALUMODE != 0 || CARRYIN
            || CARRYINSEL != 0 || OPMODE[3:0] != 4'b0101 || OPMODE[8:7] != 0
            || OPMODE[6:4] == 3'b100 || OPMODE[6:4] > 3'b101) begin
            $display("DSP48E2: an operation without a model");
            $finish;
        end
endmodule
